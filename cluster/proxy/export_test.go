package proxy

// Owner is what the proxy has in the kernel's tables.
var Owner = owner
