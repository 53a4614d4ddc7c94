package app

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Hello is the page that anybody may see.
func Hello() http.Handler { return message("message", "Hello") }

// Version serves the program's version.
func Version(version string) http.Handler { return message("version", version) }

func message(key, value string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reply(w, key, value) })
}

func reply(w http.ResponseWriter, key, value string) {
	w.Header().Set("Content-Type", "application/json")
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(map[string]string{key: value})
}

// The one person that there is. It is a lab's: nobody's password is at stake.
const (
	person   = "user"
	password = "password"
)

// Login returns a token to a user with the password, signed with secret and good for an hour.
func Login(secret string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, pass, _ := r.BasicAuth()
		if !same(name, person) || !same(pass, password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="the labs"`)
			http.Error(w, "authorization failed", http.StatusUnauthorized)
			return
		}
		claims := jwt.RegisteredClaims{Subject: name, ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))}
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		reply(w, "token", token)
	})
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Secure lets through to next who brings a token that Login signed with the same secret.
func Secure(secret string, next http.Handler) http.Handler {
	key := func(*jwt.Token) (any, error) { return []byte(secret), nil } //nolint:unparam // the type is of jwt
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if ok {
			_, err := jwt.ParseWithClaims(token, &jwt.RegisteredClaims{}, key, jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
			ok = err == nil
		}
		if !ok {
			http.Error(w, "authorization failed", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
