// Package pause is the program that a pod's sandbox runs: it holds the pod's
// namespaces, reaps orphaned processes, and exits on SIGTERM or SIGINT. A sandbox that
// shall live in a network namespace that exists already, such as a local node's, has it
// mounted at NetNS: the program goes there before it waits, and ends if it cannot.
//
// It is a few dozen instructions in assembly (pause_*.s), a part of this very
// binary. Program wraps them in an ELF file, so a node makes the sandbox image
// without a compiler, a registry or a second artefact to carry around.
package pause

import (
	"bytes"
	"encoding/binary"
	"unsafe"
)

// Path is where the program lies in the image.
const Path = "/pause"

// NetNS is where it looks for a network namespace to join.
const NetNS = "/netns"

// textSize covers the longest of the programs; the bytes after the program's
// last jump are never run.
const textSize = 512

// entry is the program. It must not be called: it would stop this process.
func entry() //nolint:unused // entryPC, in assembly, uses it

// entryPC is the address of entry.
func entryPC() uintptr

// Program is a static executable for the architecture this binary is for.
func Program() []byte {
	text := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), entryPC())), textSize)
	if unsafe.Sizeof(uintptr(0)) == 8 {
		return elf64(text)
	}
	return elf32(text)
}

const (
	typeExecutable = 2
	loadable       = 1
	readExecute    = 5
	page           = 0x10000 // the largest page size of the architectures
)

func ident(class byte) [16]byte {
	return [16]byte{0x7f, 'E', 'L', 'F', class, 1 /* little endian */, 1}
}

func elf64(text []byte) []byte {
	const head, segment, base = 64, 56, 0x400000
	size := uint64(head + segment + len(text))
	return encode(
		ident(2), uint16(typeExecutable), uint16(machine), uint32(1),
		uint64(base+head+segment), uint64(head), uint64(0), uint32(0),
		uint16(head), uint16(segment), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(loadable), uint32(readExecute), uint64(0), uint64(base), uint64(base), size, size, uint64(page),
		text)
}

func elf32(text []byte) []byte {
	const head, segment, base, hardFloatEABI5 = 52, 32, page, 0x05000400
	size := uint32(head + segment + len(text))
	return encode(
		ident(1), uint16(typeExecutable), uint16(machine), uint32(1),
		uint32(base+head+segment), uint32(head), uint32(0), uint32(hardFloatEABI5),
		uint16(head), uint16(segment), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(loadable), uint32(0), uint32(base), uint32(base), size, size, uint32(readExecute), uint32(page),
		text)
}

// encode writes fixed-size values one after the other, which cannot fail.
func encode(values ...any) []byte {
	var b bytes.Buffer
	for _, v := range values {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	return b.Bytes()
}
