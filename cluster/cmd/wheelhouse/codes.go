package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/pairing"
)

// codeTries bounds how many codes are made until one has an id that no other has.
const codeTries = 20

// createCode writes the join token of a pairing code, and returns the code.
func createCode(ctx context.Context, rc *rest.Config, cs kubernetes.Interface, limits tokenLimits) (pairing.Code, error) {
	authority, err := client.ParseCA(rc.CAData)
	if err != nil {
		return pairing.Code{}, err
	}
	for range codeTries {
		code, err := pairing.New(authority)
		if err != nil {
			return code, err
		}
		token, err := code.Token()
		if err != nil {
			return code, err
		}
		if err = writeCode(ctx, cs, token, limits); !apierrors.IsAlreadyExists(err) {
			return code, err
		}
	}
	return pairing.Code{}, errors.New("too many codes are in use: `wheelhouse token list` lists them, `wheelhouse token delete` revokes one")
}

// ensureCode makes a code valid, unless it is already. That its id is in use by another token is an error.
func ensureCode(ctx context.Context, cs kubernetes.Interface, code pairing.Code, limits tokenLimits) error {
	token, err := code.Token()
	if err != nil {
		return err
	}
	err = writeCode(ctx, cs, token, limits)
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	want := authn.BootstrapSecret(token, limits.life)
	have, err := cs.CoreV1().Secrets(want.Namespace).Get(ctx, want.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading the token that has the code's id: %w", err)
	}
	if !bytes.Equal(have.Data["token-secret"], want.Data["token-secret"]) {
		return fmt.Errorf("the code's id is in use by another token: `wheelhouse token delete %s` revokes that one", want.Data["token-id"])
	}
	return nil
}

// writeCode makes the token of a code valid. That its id is in use is an AlreadyExists error.
func writeCode(ctx context.Context, cs kubernetes.Interface, token string, limits tokenLimits) error {
	secret := authn.BootstrapSecret(token, limits.life)
	authn.LimitJoins(secret, limits.count, limits.node)
	authn.LimitGuesses(secret, pairing.MaxGuesses)
	if _, err := cs.CoreV1().Secrets(secret.Namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("writing the code: %w", err)
	}
	return nil
}
