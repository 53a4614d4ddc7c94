// Package pairing is how a machine finds the master of its cluster on the local network and
// distinguishes it from others, given a code of 25 characters that a person can type, or that is on the
// machine's SD card.
//
// It owns the code (New, Parse), the announcement of a master by multicast DNS (Announce) and the
// search for masters (Find). It never decides on what Find returns: anybody on the network can
// announce anything. The caller connects by TLS, lets Code.Pins verify the authority, and only
// then sends Code.Token.
//
// # The code
//
// Five groups of five characters of Crockford's base32, five bits each:
//
//	11  the secret (55 bits): that the machine may join
//	13  the pin (65 bits): which authority the master has
//	1   a check digit: any one wrong character and any two swapped ones are detected
//
// The token that a code stands for has an id of 30 bits and a secret of 55, both computed from the
// code. They can only be tried at the server, which refuses a token after MaxGuesses wrong secrets,
// and each source after ten wrong tokens and then one each six seconds (package authn). So a
// stranger, who does not have the id, needs about 2^30 tries to send one wrong secret for a code in use, and
// cannot make the server refuse it; and who has the id, from a log, has MaxGuesses in 2^55. The id
// is stretched by scrypt as the pin is: no code can be found from it.
// A code has an expiry and a number of nodes.
//
// The pin can be attacked offline, as the certificate of an authority is public: somebody has to
// create keys until one has the same pin. It is stretched by scrypt with 32 MiB, so that the
// 2^65 tries cost about 2^62 seconds of a processor's core.
//
// Whoever has the code can join as one node, and nothing more: unlike a shared password it does
// not make them a master for others, who pin the authority's key and not the secret.
package pairing
