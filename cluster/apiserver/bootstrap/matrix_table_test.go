package bootstrap_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// table returns the whole matrix as text.
func (m *matrix) table() string {
	var b strings.Builder
	b.WriteString("# Who may do what: the default roles and the identities of components, as the authorizer decides.\n" +
		"# view, edit and admin are bound in the namespace \"own\", all other roles everywhere. A node is called \"own\",\n" +
		"# and so is what its one pod (in the namespace \"own\") refers to. What every authenticated user may is shown once.\n" +
		"# An identity is shown with the roles that are bound to it, and with what it may besides.\n" +
		"# read: get list watch. write: create update patch delete deletecollection. *: anything in any group.\n" +
		"# Written by: go test ./cluster/apiserver/bootstrap -run TestAuthorizationMatrix -update\n")
	all := make([]cells, len(m.identities))
	for i := range m.identities {
		all[i] = m.cells(&m.identities[i])
	}
	for i, who := range m.identities {
		fmt.Fprintf(&b, "\n%s\n", who.title)
		rights := all[i]
		if i > 1 {
			rights = rights.beyond(all[1])
			for _, role := range who.roles {
				j := slices.IndexFunc(m.identities, func(other identity) bool { return other.title == "role "+role })
				if less := rights.beyond(all[j].beyond(all[1])); len(less) < len(rights) {
					fmt.Fprintf(&b, "  as role %s\n", role)
					rights = less
				}
			}
		}
		for _, line := range m.lines(rights) {
			b.WriteString("  " + line + "\n")
		}
	}
	return b.String()
}

// lines write rights down, with resources of a group together if they have the same.
func (m *matrix) lines(rights cells) []string {
	verbs := map[cell][]string{}
	for _, v := range append(slices.Clone(m.verbs), "post") {
		for c := range rights {
			if c.verb == v {
				key := cell{c.scope, c.resource, ""}
				verbs[key] = append(verbs[key], v)
			}
		}
	}
	if len(verbs[cell{everywhere, anything, ""}]) == len(m.verbs) {
		return []string{"everything"}
	}
	rows := map[string][]string{}
	for c, v := range verbs {
		group, plural, _ := strings.Cut(c.resource, "/")
		switch {
		case c.scope == aPath:
			group, plural = "path", c.resource
		case c.resource == anything:
			group, plural = "*", "*"
		case group == "":
			group = "core"
		}
		key := short(v) + ": " + group + ":"
		if c.scope != aPath {
			key = c.scope + ": " + key
		}
		rows[key] = append(rows[key], plural)
	}
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		lines = append(lines, key+" "+strings.Join(slices.Sorted(slices.Values(rows[key])), " "))
	}
	return lines
}

// short writes verbs with words for those that go together.
func short(verbs []string) string {
	var out []string
	for _, part := range []struct {
		word string
		all  []string
	}{{"read", readVerbs}, {"write", writeVerbs}} {
		have := slices.DeleteFunc(slices.Clone(part.all), func(v string) bool { return !slices.Contains(verbs, v) })
		if len(have) == len(part.all) {
			have = []string{part.word}
		}
		out = append(out, have...)
	}
	for _, v := range verbs {
		if !slices.Contains(readVerbs, v) && !slices.Contains(writeVerbs, v) {
			out = append(out, v)
		}
	}
	return strings.Join(out, " ")
}
