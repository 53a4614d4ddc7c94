package pause

const machine = 40 // EM_ARM
