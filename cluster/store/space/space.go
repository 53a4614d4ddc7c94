// Package space is what a write is for and how much it needs, by which it is decided which writes are accepted while
// there is little space left. The store says it of each write; the member of etcd decides.
package space

// Use is what a write is for.
type Use int

// The uses, from the first to the last that is refused.
const (
	// Growth is a new object, or one that becomes larger by more than MaxGrowth.
	Growth Use = iota
	// Upkeep is an update of an object: a status, a condition, a budget.
	Upkeep
	// Ending is an update of an object that is being deleted, and a new object that is essential for deletions.
	Ending
	// Deletion is the removal of an object, its mark as being deleted, the removal of a finalizer from one that is
	// marked, and an update of an object that is essential for deletions: the Lease of a component.
	Deletion
	uses
)

// Uses is how many uses there are.
const Uses = int(uses)

// MaxGrowth is how many bytes an object may grow by one write that is not Growth: a status with the ends of some
// containers and their messages fits.
const MaxGrowth = 16 << 10

// MaxEssential is how many bytes an object may have that is accepted as essential: a Lease has some hundred.
const MaxEssential = 4 << 10

// Write is one write, in bytes of the encoded object. Growth is negative where it becomes smaller, and 0 for the mark
// that an object is being deleted, which is accepted once for each object.
type Write struct {
	Use          Use
	Size, Growth int64
}
