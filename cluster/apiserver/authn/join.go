package authn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// The keys of the secret of a join token beyond upstream's.
const (
	joinCount  = "node-count"   // how many nodes may still join with it; one when missing
	joinNode   = "node-name"    // the only node that may join with it
	joinedList = "joined-nodes" // those that have, with commas
)

// LimitJoins sets how many nodes may join with a token (at least one), and, unless node is
// empty, which: that node may exist already.
func LimitJoins(secret *corev1.Secret, count int, node string) {
	secret.Data[joinCount] = []byte(strconv.Itoa(count))
	if node != "" {
		secret.Data[joinNode] = []byte(node)
	}
}

// joinTries bounds the tries of a join while other nodes use the same token.
const joinTries = 20

// Join counts one use of u's join token for a node, or returns why the token is not valid for
// it. c reads nodes, and reads and updates the secrets of kube-system; an update is retried
// after a conflict, so that a token never counts twice.
func Join(ctx context.Context, c kubernetes.Interface, u *User, node string) error {
	id, ok := strings.CutPrefix(u.Name, bootstrapUserPrefix)
	if !ok {
		return fmt.Errorf("user %q has no join token", u.Name)
	}
	secrets := c.CoreV1().Secrets(metav1.NamespaceSystem)
	err := errors.New("the token is in use by too many")
	for range joinTries {
		var secret *corev1.Secret
		if secret, err = secrets.Get(ctx, bootstrapSecretPrefix+id, metav1.GetOptions{}); err != nil {
			return fmt.Errorf("reading the join token: %w", err)
		}
		if err := spend(secret, node); err != nil {
			return fmt.Errorf("join token %s: %w", id, err)
		}
		if len(secret.Data[joinNode]) == 0 {
			if err := notThere(ctx, c, node); err != nil {
				return err
			}
		}
		if _, err = secrets.Update(ctx, secret, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("counting the use of join token %s: %w", id, err)
	}
	return nil
}

// spend counts a use for node in the secret.
func spend(secret *corev1.Secret, node string) error {
	if only := string(secret.Data[joinNode]); only != "" && only != node {
		return fmt.Errorf("it is for node %q only", only)
	}
	left := 1
	if text, ok := secret.Data[joinCount]; ok {
		var err error
		if left, err = strconv.Atoi(string(text)); err != nil {
			return fmt.Errorf("%s: %w", joinCount, err)
		}
	}
	if left < 1 {
		return errors.New("it has been used by as many nodes as it was made for; `wheelhouse token` makes another")
	}
	joined := strings.FieldsFunc(string(secret.Data[joinedList]), func(r rune) bool { return r == ',' })
	if slices.Contains(joined, node) {
		return fmt.Errorf("node %q has joined with it already", node)
	}
	secret.Data[joinCount] = []byte(strconv.Itoa(left - 1))
	secret.Data[joinedList] = []byte(strings.Join(append(joined, node), ","))
	return nil
}

func notThere(ctx context.Context, c kubernetes.Interface, node string) error {
	switch _, err := c.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{}); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("looking for node %s: %w", node, err)
	}
	return fmt.Errorf("node %q exists: delete it first, or make a token for it with `wheelhouse token --node %s`", node, node)
}

// JoinToken describes a join token, without its secret.
type JoinToken struct {
	ID, Expires  string
	Left         int    // nodes that may still join
	Node, Joined string // the only one that may; those that have
}

// JoinTokens returns those of the cluster.
func JoinTokens(ctx context.Context, c kubernetes.Interface) ([]JoinToken, error) {
	all, err := c.CoreV1().Secrets(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{FieldSelector: "type=" + string(bootstrapSecretType)})
	if err != nil {
		return nil, fmt.Errorf("listing the join tokens: %w", err)
	}
	var out []JoinToken
	for i := range all.Items {
		data := all.Items[i].Data
		t := JoinToken{ID: string(data["token-id"]), Expires: string(data["expiration"]), Node: string(data[joinNode]), Joined: string(data[joinedList]), Left: 1}
		if text, ok := data[joinCount]; ok {
			t.Left, _ = strconv.Atoi(string(text)) // what is no number is good for none
		}
		out = append(out, t)
	}
	return out, nil
}

// DeleteJoinToken makes a token invalid.
func DeleteJoinToken(ctx context.Context, c kubernetes.Interface, id string) error {
	if !bootstrapToken.MatchString(id + ".0000000000000000") {
		return fmt.Errorf("%q is not the ID of a token: want the 6 characters before the dot", id)
	}
	if err := c.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, bootstrapSecretPrefix+id, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("deleting join token %s: %w", id, err)
	}
	return nil
}
