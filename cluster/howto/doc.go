// Package howto has the pages that CONTRIBUTING.md names, each followed by a test on a copy of the tree.
package howto
