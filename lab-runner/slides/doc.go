// Package slides reads decks of slides, written in Markdown, and serves them over HTTP. A deck is the file
// TRACK/deck.md of a file system, its translation TRACK/deck.LANGUAGE.md; drawings that several decks use are in
// drawings/. The package runs no command and reads no cluster: the caller provides that as a Live, or nothing. It
// serves what is in the file system alone; the caller decides who sees notes and who may run commands.
//
// A deck begins with front matter between two lines "---": title, track, minutes. Lines "---" separate the slides. In a
// slide:
//
//   - "# Title" is its title, and each slide has one;
//   - "lab: TRACK/NAME" or "lab: TRACK/NAME/STEP" on a line of its own names the lab's step that belongs to it;
//   - a paragraph that is one image is a drawing: a file beside the deck, or "../drawings/NAME.svg"; with the image's
//     title "wide" it stands below the text, else beside it;
//   - in a fenced block, a line that starts with "$ " is a command, a line that starts with "> " right after it
//     continues it, and the others are example output;
//   - a fenced block "map" is the map of the lab's namespace, "journey KIND/NAME" what happened to an object;
//   - "<!-- notes" to "-->", or all after a line "Notes:", is what the speaker reads. It begins with the slide's time,
//     such as "3 min."
//
// Raw HTML is an error. Errors name the line.
package slides
