package masters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"wheelhouse/cluster/store/etcd"
)

// KeyFiles are what masters share, below the pki directory: the cluster's authority, the key of
// service accounts' tokens, the authority of etcd's members, and the encryption of Secrets.
var KeyFiles = []string{"ca.crt", "ca.key", "sa.key", "etcd/ca.crt", "etcd/ca.key", EncryptionFile}

// EncryptionFile is the one of KeyFiles that may be missing: then Secrets are not encrypted.
const EncryptionFile = "encryption.yaml"

// Request is what a joiner sends.
type Request struct {
	Token   string `json:"token"`  // without the hash of the authority
	Joiner  string `json:"joiner"` // a secret of this attempt and those that follow it
	Name    string `json:"name"`
	PeerURL string `json:"peerURL"` // of its etcd member
}

// Answer is what the joiner needs.
type Answer struct {
	Keys     map[string][]byte `json:"keys"` // by KeyFiles
	Members  []etcd.MemberInfo `json:"members"`
	Settings Settings          `json:"settings"`
}

// Adder adds members; etcd.Member is one.
type Adder interface {
	AddLearner(ctx context.Context, name, peerURL string) ([]etcd.MemberInfo, error)
}

// HandoverConfig is what Handover needs.
type HandoverConfig struct {
	Tokens     *Tokens
	Members    Adder
	Dir        string // the pki directory
	Encryption string // the file in use instead of the one in Dir; "": that
	Settings   Settings
	Alone      bool // no master can join this server as it runs
	Log        *slog.Logger
}

// joinPatience is the time for a change of the members to succeed. Most refusals are for the
// five seconds after another change.
const joinPatience = 30 * time.Second

// maxRequest is the size of a request in bytes.
const maxRequest = 4 << 10

// Handover returns the handlers of TokenPath and JoinPath. Whoever reaches JoinPath needs a
// token, whoever the sender is for the API server; TokenPath relies on the API server's
// authorization.
func Handover(c HandoverConfig) map[string]http.Handler {
	return map[string]http.Handler{TokenPath: http.HandlerFunc(c.serveToken), JoinPath: http.HandlerFunc(c.serveJoin)}
}

func (c HandoverConfig) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "want POST", http.StatusMethodNotAllowed)
		return
	}
	if c.Alone {
		http.Error(w, etcd.ErrAlone.Error(), http.StatusConflict)
		return
	}
	life, err := time.ParseDuration(r.URL.Query().Get("ttl"))
	if err != nil {
		http.Error(w, "ttl: "+err.Error(), http.StatusBadRequest)
		return
	}
	token, err := c.Tokens.Create(r.Context(), life)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprint(w, token) // the client has gone
}

func (c HandoverConfig) serveJoin(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "want POST", http.StatusMethodNotAllowed)
		return
	}
	var in Request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&in); err != nil {
		http.Error(w, "the request is not JSON", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), joinPatience)
	defer cancel()
	answer, err := c.join(ctx, &in)
	if err != nil {
		c.Log.Warn("a master was refused", "name", in.Name, "peer", in.PeerURL, "remote", r.RemoteAddr, "err", err)
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	c.Log.Warn("the keys of the cluster were handed over to a master", "name", in.Name, "peer", in.PeerURL, "remote", r.RemoteAddr)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client has gone
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errToken):
		return http.StatusUnauthorized
	case errors.Is(err, etcd.ErrExists), errors.Is(err, etcd.ErrAlone):
		return http.StatusConflict
	case errors.Is(err, errRequest):
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}

var errRequest = errors.New("the request is not a master's")

func (c HandoverConfig) join(ctx context.Context, in *Request) (*Answer, error) {
	if err := c.Tokens.spend(ctx, in.Token, in.Joiner, in.Name); err != nil {
		return nil, err // before any other error
	}
	if err := CheckName(in.Name); err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	if err := checkPeer(in.PeerURL); err != nil {
		return nil, fmt.Errorf("%w: peerURL %q: %w", errRequest, in.PeerURL, err)
	}
	keys, err := c.keys()
	if err != nil {
		return nil, err
	}
	others, err := c.Members.AddLearner(ctx, in.Name, in.PeerURL)
	if err != nil {
		return nil, err
	}
	return &Answer{Keys: keys, Members: others, Settings: c.Settings}, nil
}

// CheckName returns why a master cannot have the name, or nil.
func CheckName(name string) error {
	if wrong := validation.IsDNS1123Subdomain(name); len(wrong) > 0 {
		return fmt.Errorf("%q cannot name a master: %s", name, wrong[0])
	}
	return nil
}

// checkPeer returns why no other member could be at the URL, or nil.
func checkPeer(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(u.Host)
	if err != nil {
		return err
	}
	if u.String() != "https://"+at.String() || at.Addr().IsUnspecified() || at.Addr().IsMulticast() || at.Port() == 0 {
		return errors.New("want https://IP:PORT")
	}
	return nil
}

func (c HandoverConfig) keys() (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, name := range KeyFiles {
		path := filepath.Join(c.Dir, filepath.FromSlash(name))
		if name == EncryptionFile && c.Encryption != "" {
			path = c.Encryption
		}
		data, err := os.ReadFile(path)
		if name == EncryptionFile && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the keys: %w", err)
		}
		all[name] = data
	}
	return all, nil
}
