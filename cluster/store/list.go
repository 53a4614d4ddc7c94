package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
)

// ListOptions are those of the API.
type ListOptions struct {
	ResourceVersion string
	Match           metav1.ResourceVersionMatch
	Limit           int64 // 0 is all
	Continue        string
	Keep            func(api.Object) bool // nil keeps all
}

// Page is a list, or a part of one.
type Page struct {
	Items []*Item
	// Revision is the resourceVersion of the list: a watch from there misses nothing.
	Revision int64
	// Continue is for the next page, "" on the last.
	Continue string
	// Remaining is how many follow, nil if not known (with Keep).
	Remaining *int64
}

// List reads the objects of a namespace ("" is all), in the order of their keys. All
// pages of a list show the state at the revision of the first.
func (c *Collection) List(ctx context.Context, namespace string, o ListOptions) (*Page, error) {
	l := lister{c: c, within: c.within(namespace), ListOptions: o}
	l.start = l.within
	if o.Continue != "" {
		return l.next(ctx)
	}
	if _, err := parseVersion(o.ResourceVersion); err != nil {
		return nil, apierrors.NewBadRequest("invalid resource version: " + err.Error())
	}
	rev, err := c.store.reach(ctx, o.ResourceVersion)
	if err != nil {
		return nil, err
	}
	// As upstream: a limit and a version without match mean exactly that version.
	exact := o.Match == metav1.ResourceVersionMatchExact || o.Match == "" && o.Limit > 0 && rev > 0
	if exact && rev > 0 {
		return l.at(ctx, rev)
	}
	return l.page(ctx, 0)
}

// checkEvery is after how many objects a list looks whether it is still wanted.
const checkEvery = 256

type lister struct {
	c *Collection
	ListOptions
	within string // the prefix of the list's keys
	start  string // the first key of this page
}

// next is a page that continues another.
func (l *lister) next(ctx context.Context) (*Page, error) {
	start, rev, err := decodeContinue(l.Continue)
	if err != nil {
		return nil, err
	}
	l.start = l.within + start
	if rev < 0 {
		if err := l.c.store.latest(ctx); err != nil {
			return nil, err
		}
		return l.page(ctx, 0)
	}
	if err := l.c.store.atLeast(ctx, rev); err != nil {
		return nil, err
	}
	return l.at(ctx, rev)
}

// at is a page of the state at a revision: from the cache if nothing has changed since,
// else out of etcd, which has it until it is compacted. The first page's revision
// ends with that for all further pages, so that other clients' writes do not matter.
func (l *lister) at(ctx context.Context, rev int64) (*Page, error) {
	if l.Continue != "" && rev < l.c.store.rounds.kept.Load() {
		return nil, l.expired()
	}
	if p, err := l.page(ctx, rev); p != nil || err != nil {
		return p, err
	}
	p, err := l.past(ctx, rev)
	if !errors.Is(err, rpctypes.ErrCompacted) {
		return p, err
	}
	if l.Continue == "" {
		return nil, apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	}
	return nil, l.expired()
}

// expired returns the error for a page of a compacted revision, with a token to continue.
func (l *lister) expired() error {
	gone := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to retrieve the " +
		"remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were " +
		"created, modified, or deleted between the time the first chunk was returned and now may show up in the list.")
	gone.ErrStatus.Continue = encodeContinue(strings.TrimPrefix(l.start, l.within), -1)
	return gone
}

// page is out of the cache. Where a revision is asked for and the collection has
// changed since, it is nil.
func (l *lister) page(ctx context.Context, rev int64) (*Page, error) {
	c := l.c
	c.mu.RLock()
	if rev != 0 && c.rev > rev {
		c.mu.RUnlock()
		return nil, nil
	}
	if err := c.missing(l.within, l.start); err != nil {
		c.mu.RUnlock()
		return nil, err
	}
	p := &Page{Revision: rev, Items: c.collect(l.within, l.start)}
	if rev == 0 {
		p.Revision = max(c.rev, c.store.progress.revision())
	}
	c.mu.RUnlock()

	if l.Keep != nil {
		kept := p.Items[:0]
		for n, i := range p.Items {
			if n%checkEvery == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if l.Keep(i.Object()) {
				kept = append(kept, i)
			}
		}
		p.Items = kept
	}
	if n := int64(len(p.Items)); l.Limit > 0 && n > l.Limit {
		p.Items = p.Items[:l.Limit]
		l.more(p, n-l.Limit)
	}
	return p, nil
}

// more reports whether there are further pages.
func (l *lister) more(p *Page, remaining int64) {
	last := p.Items[len(p.Items)-1].key
	p.Continue = encodeContinue(strings.TrimPrefix(last, l.within)+"\x00", p.Revision)
	if l.Keep == nil {
		p.Remaining = &remaining
	}
}

// past is a page out of etcd's history.
func (l *lister) past(ctx context.Context, rev int64) (*Page, error) {
	p := &Page{Revision: rev}
	end := clientv3.GetPrefixRangeEnd(l.within)
	for start := l.start; ; {
		ask := int64(pageSize)
		if l.Limit > 0 && l.Keep == nil {
			ask = l.Limit
		}
		resp, err := l.c.store.Client.Get(ctx, start, clientv3.WithRange(end), clientv3.WithRev(rev), clientv3.WithLimit(ask))
		if errors.Is(err, rpctypes.ErrCompacted) {
			return nil, err
		}
		if err != nil {
			return nil, fromEtcd(err, "reading "+l.within)
		}
		for n, kv := range resp.Kvs {
			item, err := l.c.decode(string(kv.Key), kv)
			if isTransformError(err) {
				return nil, untransformable(string(kv.Key), err)
			}
			if err != nil {
				continue // reported when it was written; the cache passes it over too
			}
			if l.Keep == nil || l.Keep(item.Object()) {
				p.Items = append(p.Items, item)
			}
			if l.Limit > 0 && int64(len(p.Items)) == l.Limit {
				if n+1 < len(resp.Kvs) || resp.More {
					l.more(p, resp.Count-int64(n+1))
				}
				return p, nil
			}
		}
		if !resp.More {
			return p, nil
		}
		start = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// continueToken is what a client sends for the next page, as Kubernetes has it.
type continueToken struct {
	APIVersion      string `json:"v"`
	ResourceVersion int64  `json:"rv"` // -1: whatever is there now
	StartKey        string `json:"start"`
}

const continueVersion = "meta.k8s.io/v1"

func encodeContinue(start string, rev int64) string {
	b, _ := json.Marshal(continueToken{APIVersion: continueVersion, ResourceVersion: rev, StartKey: start}) // strings and a number
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeContinue(token string) (start string, rev int64, err error) {
	invalid := func(why string) (string, int64, error) {
		return "", 0, apierrors.NewBadRequest("invalid continue token: continue key is not valid: " + why)
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(token, "="))
	if err != nil {
		return invalid(err.Error())
	}
	var t continueToken
	if err := json.Unmarshal(b, &t); err != nil {
		return invalid(err.Error())
	}
	switch {
	case t.APIVersion != continueVersion:
		return invalid("server does not recognize this encoded version")
	case t.ResourceVersion == 0 || t.ResourceVersion < -1:
		return invalid("incorrect encoded start resourceVersion")
	case t.StartKey == "":
		return invalid("no start key encoded")
	}
	return t.StartKey, t.ResourceVersion, nil
}
