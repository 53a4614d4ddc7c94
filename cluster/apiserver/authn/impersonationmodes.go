package authn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
)

// impersonationMode is a way of impersonation, as upstream's (gate ConstrainedImpersonation). For all but the last,
// the sender needs two rights: impersonate-on:MODE:VERB on what the request is for, and impersonate:MODE on the
// user. The last is impersonation as it always was, by the verb impersonate alone.
type impersonationMode struct {
	name    string // "" for the last
	applies func(as, by *User) bool
}

var impersonationModes = []impersonationMode{
	{"associated-node", func(as, by *User) bool {
		node, ok := nodeOf(as.Name)
		_, _, account := serviceAccount(by.Name)
		at := by.Extra[extraNodeName]
		return ok && account && onlyName(as) && len(at) == 1 && at[0] == node
	}},
	{"arbitrary-node", func(as, _ *User) bool {
		_, ok := nodeOf(as.Name)
		return ok && onlyName(as)
	}},
	{"serviceaccount", func(as, _ *User) bool {
		_, _, ok := serviceAccount(as.Name)
		return ok && onlyName(as)
	}},
	{"user-info", func(as, _ *User) bool {
		_, node := nodeOf(as.Name)
		_, _, account := serviceAccount(as.Name)
		return !node && !account
	}},
	{"", func(_, _ *User) bool { return true }},
}

func onlyName(u *User) bool { return u.UID == "" && len(u.Groups) == 0 && len(u.Extra) == 0 }

// nodeOf returns the node of a kubelet's user name.
func nodeOf(user string) (string, bool) {
	name, ok := strings.CutPrefix(user, client.NodePrefix)
	return name, ok && len(validation.NameIsDNSSubdomain(name, false)) == 0
}

// label is how metrics name the mode.
func (m impersonationMode) label() string {
	if m.name == "" {
		return "legacy"
	}
	return m.name
}

// tryModes returns the user whom the sender of the request may impersonate, or the error of the mode that was
// tried first. That is the one by which the sender impersonated the last time, so that impersonation by the old
// verb costs no more than it did.
func (a *Authenticator) tryModes(ctx context.Context, as *User, request authz.Attributes) (*User, error) {
	start, by := time.Now(), request.User
	order := make([]int, 0, len(impersonationModes))
	a.mu.Lock()
	last, known := a.lastMode[by.Name]
	a.mu.Unlock()
	if known {
		order = append(order, last)
	}
	for i := range impersonationModes {
		if !known || i != last {
			order = append(order, i)
		}
	}
	var first error
	for _, i := range order {
		m := impersonationModes[i]
		if !m.applies(as, by) {
			continue
		}
		actual, err := a.impersonateBy(ctx, m, as, request)
		if err == nil {
			a.rememberMode(by.Name, i)
			a.impersonations.attempt(m.label(), true, time.Since(start))
			return actual, nil
		}
		if first == nil {
			first = err
		}
	}
	a.impersonations.attempt("", false, time.Since(start))
	return nil, first
}

func (a *Authenticator) rememberMode(user string, mode int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.lastMode) >= maxTokens {
		clear(a.lastMode)
	}
	a.lastMode[user] = mode
}

// impersonateBy returns the user whom the sender may impersonate by a mode.
func (a *Authenticator) impersonateBy(ctx context.Context, m impersonationMode, as *User, request authz.Attributes) (*User, error) {
	check := impersonationCheck{a: a, mode: m, by: request.User, verb: "impersonate", constrained: m.name != ""}
	actual := *as
	actual.Groups = slices.Clone(as.Groups)
	if check.constrained {
		check.verb += ":" + m.name
		actual.Constraint = check.verb
		if m.name == "associated-node" {
			check.by = associated(request.User)
		}
		request.User = check.by
		request.Verb = "impersonate-on:" + m.name + ":" + request.Verb
		if err := check.ask(ctx, request); err != nil {
			return nil, err
		}
	}
	if err := check.name(ctx, as, &actual); err != nil {
		return nil, err
	}
	if err := check.uid(ctx, as.UID); err != nil {
		return nil, err
	}
	if err := check.groups(ctx, as.Groups); err != nil {
		return nil, err
	}
	if err := check.extra(ctx, as.Extra); err != nil {
		return nil, err
	}
	switch {
	case actual.Name == Anonymous:
		return withGroup(&actual, AllUnauthenticated), nil
	case slices.Contains(actual.Groups, AllUnauthenticated):
		return &actual, nil
	}
	return withGroup(&actual, AllAuthenticated), nil
}

// associated returns the account as the authorizer sees it when it impersonates its own node: without what differs
// from one of its pods to the other, since the rights are those of the account.
func associated(u *User) *User {
	same := *u
	same.Extra = map[string][]string{"authentication.kubernetes.io/associated-node-keys": slices.Sorted(maps.Keys(u.Extra))}
	return &same
}

// impersonationCheck asks for the rights to what a user is made of.
type impersonationCheck struct {
	a           *Authenticator
	mode        impersonationMode
	by          *User
	verb        string
	constrained bool
}

const authenticationGroup = "authentication.k8s.io"

// attributes are those of a right to impersonate.
func (c *impersonationCheck) attributes(group, resource, name string) authz.Attributes {
	return authz.Attributes{User: c.by, Verb: c.verb, Group: group, Version: "v1", Resource: resource, Name: name, ResourceRequest: true}
}

// usersGroup is the API group of users and groups: the core group for the old verb.
func (c *impersonationCheck) usersGroup() string {
	if c.constrained {
		return authenticationGroup
	}
	return ""
}

// ask returns an error unless the authorizer allows at.
func (c *impersonationCheck) ask(ctx context.Context, at authz.Attributes) error {
	if c.a.Authorizer == nil {
		return apistatus.Forbidden(&at, "")
	}
	start := time.Now()
	allowed, reason, err := c.a.Authorizer.Authorize(ctx, at)
	c.a.impersonations.check(c.mode.label(), allowed, time.Since(start))
	switch {
	case allowed:
		return nil
	case err != nil && reason != "":
		reason = fmt.Sprintf("%v: %s", err, reason)
	case err != nil:
		reason = err.Error()
	}
	return apistatus.Forbidden(&at, reason)
}

// name asks for the user's name, and sets the groups that a node or an account has.
func (c *impersonationCheck) name(ctx context.Context, as, actual *User) error {
	at := c.attributes(c.usersGroup(), "users", as.Name)
	if node, ok := nodeOf(as.Name); ok && c.constrained {
		at.Resource, at.Name = "nodes", node
		if c.mode.name == "associated-node" {
			at.Name = "*" // the right is to the account's own node, whichever that is
		}
		actual.Groups = []string{client.Nodes}
	}
	if namespace, name, ok := serviceAccount(as.Name); ok {
		at.Resource, at.Namespace, at.Name = "serviceaccounts", namespace, name
		if len(as.Groups) == 0 {
			actual.Groups = serviceAccountGroups(namespace)
		}
	}
	return c.ask(ctx, at)
}

func (c *impersonationCheck) uid(ctx context.Context, uid string) error {
	if uid == "" {
		return nil
	}
	return c.ask(ctx, c.attributes(authenticationGroup, "uids", uid))
}

// many is how many groups, or values of extra, are first asked for at once, by the name *.
const many = 4

func (c *impersonationCheck) groups(ctx context.Context, groups []string) error {
	at := c.attributes(c.usersGroup(), "groups", "")
	if c.constrained {
		switch {
		case slices.Contains(groups, ""):
			return apistatus.Forbidden(&at, "impersonating the empty string group is not allowed")
		case slices.Contains(groups, "system:masters"):
			at.Name = "system:masters"
			return apistatus.Forbidden(&at, "impersonating the system:masters group is not allowed")
		case len(groups) >= many:
			at.Name = "*"
			if c.ask(ctx, at) == nil {
				return nil
			}
		}
	}
	for _, g := range groups {
		at.Name = g
		if err := c.ask(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

func (c *impersonationCheck) extra(ctx context.Context, extra map[string][]string) error {
	at := c.attributes(authenticationGroup, "userextras", "")
	if c.constrained && len(extra) > 0 {
		if err := checkExtra(extra); err != nil {
			return apistatus.Forbidden(&at, err.Error())
		}
		values := 0
		for _, v := range extra {
			values += len(v)
		}
		if values >= many {
			at.Subresource, at.Name = "*", "*"
			if c.ask(ctx, at) == nil {
				return nil
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		at.Subresource = key
		for _, v := range extra[key] {
			at.Name = v
			if err := c.ask(ctx, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkExtra returns why no user can have this.
func checkExtra(extra map[string][]string) error {
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		values := extra[key]
		if key == "" {
			return errors.New("impersonating the empty string key in extra is not allowed")
		}
		if err := utilvalidation.IsDomainPrefixedPath(field.NewPath("extra", "key"), key).ToAggregate(); err != nil {
			return fmt.Errorf("impersonating an invalid key in extra is not allowed: %w", err)
		}
		switch {
		case key != strings.ToLower(key):
			return fmt.Errorf("impersonating a non-lowercase key in extra is not allowed: %q", key)
		case len(values) == 0:
			return errors.New("impersonating empty values in extra is not allowed")
		case slices.Contains(values, ""):
			return errors.New("impersonating the empty string value in extra is not allowed")
		}
	}
	return nil
}
