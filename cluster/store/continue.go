package store

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

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
		return "", 0, apierrors.NewBadRequest("continue key is not valid: " + why)
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
