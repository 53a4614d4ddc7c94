package authn

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
)

// Discovery is for others who verify service-account tokens: it answers
// /.well-known/openid-configuration and /openid/v1/jwks. server is the address
// under which they reach this server ("https://10.245.1.2:443").
func (t *Tokens) Discovery(server string) (http.Handler, error) {
	public, err := t.Key.PublicKey.ECDH()
	if err != nil {
		return nil, fmt.Errorf("publishing the token key: %w", err)
	}
	point := public.Bytes() // 4, X, Y, each of 32 bytes
	encode := base64.RawURLEncoding.EncodeToString
	keys, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"use": "sig", "kty": "EC", "kid": t.kid, "crv": "P-256", "alg": "ES256",
		"x": encode(point[1:33]), "y": encode(point[33:]),
	}}})
	if err != nil {
		return nil, fmt.Errorf("publishing the token key: %w", err)
	}
	doc, err := json.Marshal(map[string]any{
		"issuer":                                t.Issuer,
		"jwks_uri":                              server + "/openid/v1/jwks",
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	})
	if err != nil {
		return nil, fmt.Errorf("publishing the issuer: %w", err)
	}
	m := http.NewServeMux()
	m.HandleFunc("GET /.well-known/openid-configuration", document("application/json", doc))
	m.HandleFunc("GET /openid/v1/jwks", document("application/jwk-set+json", keys))
	return m, nil
}

func document(contentType string, data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "public, max-age=3600")
		_, _ = w.Write(data) // a client that went away needs no answer
	}
}
