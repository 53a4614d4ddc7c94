// Package why explains the state of an object: it follows the object's way through the cluster hop by hop, shows the hops
// that are fine, names the first one that is broken, and ends with one thing to do.
//
// Cluster gathers Facts with a bounded number of requests, each limited in time and in size, by a kubeconfig alone: it needs
// no rights beyond reading, and says which facts it could not read. Explain is pure: the same Facts give the same
// Explanation, so that recorded facts serve as tests. Print writes an Explanation for a terminal, plainly, or as JSON.
//
// The package changes nothing in the cluster. It reads names of Secrets, never their content. What it quotes of the
// cluster (names, events, logs) may hold escape sequences: Print shows them and the terminal does not obey them.
//
// A hop is called broken only if the facts prove it; what may still change on its own is waiting.
package why
