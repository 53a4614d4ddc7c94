package catalog

import (
	"fmt"
	"slices"
	"strings"

	"wheelhouse/lab-runner/near"
)

// Pick returns the named labs, or all of them when no name is given. A lab is named TRACK/NAME,
// or NAME alone if no other track has it.
func Pick(labs []*Lab, names []string) ([]*Lab, error) {
	if len(names) == 0 {
		return labs, nil
	}
	var out []*Lab
	for _, name := range names {
		found := named(labs, name)
		switch len(found) {
		case 1:
			out = append(out, found[0])
		case 0:
			return nil, unknown(labs, name, meant(labs, name))
		default:
			return nil, fmt.Errorf("%s is the name of several labs: say which of %s", name, strings.Join(ids(found), ", "))
		}
	}
	return out, nil
}

// Find returns the lab and the index of the step that a name says: [TRACK/]LAB, or
// [TRACK/]LAB/STEP. Without STEP the index is -1.
func Find(labs []*Lab, name string) (*Lab, int, error) {
	picked, err := Pick(labs, []string{name})
	if err == nil {
		return picked[0], -1, nil
	}
	i := strings.LastIndex(name, "/")
	if i < 0 {
		return nil, 0, err
	}
	if head := name[:i]; len(named(labs, head)) == 0 && (len(meant(labs, name)) > 0 || len(meant(labs, head)) == 0) {
		return nil, 0, err // neither is a lab, and the last part is no step of one that was probably meant
	}
	if picked, err = Pick(labs, []string{name[:i]}); err != nil {
		return nil, 0, err
	}
	step, err := picked[0].StepIndex(name[i+1:])
	return picked[0], step, err
}

// StepIndex returns the index of the step of that name.
func (l *Lab) StepIndex(name string) (int, error) {
	var names []string
	for i := range l.Steps {
		if l.Steps[i].Name == name {
			return i, nil
		}
		names = append(names, l.Steps[i].Name)
	}
	return 0, fmt.Errorf("lab %s has no step %s%s 'lab status %s' lists the steps", l.ID(), name, didYouMean(similar(name, names)), l.ID())
}

func named(labs []*Lab, name string) (found []*Lab) {
	for _, l := range labs {
		if name == l.ID() || name == l.Name {
			found = append(found, l)
		}
	}
	return found
}

func ids(labs []*Lab) (out []string) {
	for _, l := range labs {
		out = append(out, l.ID())
	}
	return out
}

// unknown is the error for a name that no lab has. It does not list all labs: there are more than fit on a screen.
func unknown(labs []*Lab, name string, meant []string) error {
	if i := slices.IndexFunc(labs, func(l *Lab) bool { return l.Track == name }); i >= 0 {
		return fmt.Errorf("%s is a track: 'lab list' lists its labs, the first is %s", name, labs[i].ID())
	}
	return fmt.Errorf("no lab %s%s 'lab list' lists the labs", name, didYouMean(meant))
}

// meant returns the IDs of the labs that were probably meant by a name that none has: of a similar ID, else of the name or a
// similar one in any track.
func meant(labs []*Lab, name string) []string {
	if other := near.Name(name, ids(labs)); other != "" {
		return []string{other}
	}
	var names []string
	for _, l := range labs {
		names = append(names, l.Name)
	}
	_, last, ofTrack := strings.Cut(name, "/")
	if !ofTrack {
		last = name
	}
	if !slices.Contains(names, last) {
		names = similar(last, names)
	} else {
		names = []string{last}
	}
	return ids(slices.DeleteFunc(slices.Clone(labs), func(l *Lab) bool { return !slices.Contains(names, l.Name) }))
}

// shortest is the least length of a name that is looked for in longer ones.
const shortest = 3

// similar returns the name among all that differs by few letters, else those that contain it.
func similar(name string, all []string) []string {
	if other := near.Name(name, all); other != "" {
		return []string{other}
	}
	if len(name) < shortest {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return !strings.Contains(s, strings.ToLower(name)) })
}

// mostMeant bounds how many names are suggested.
const mostMeant = 4

// didYouMean ends the first sentence of an error: with a question, if there is something to suggest.
func didYouMean(names []string) string {
	if len(names) == 0 {
		return ":"
	}
	return "; did you mean " + strings.Join(names[:min(len(names), mostMeant)], " or ") + "?"
}
