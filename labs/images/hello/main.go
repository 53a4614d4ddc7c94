// Hello is one half of the sample application taken apart: the pages, without the login.
// It trusts the tokens of auth, since both know the same secret.
package main

import (
	"flag"
	"net/http"

	"wheelhouse/labs/images/internal/app"
)

var version = "1.0.0" // the image's tag; build.sh sets it

func main() {
	var secret string
	app.Program{
		Name: "hello", Version: version, HealthPort: ":81",
		Flags: func(f *flag.FlagSet) { f.StringVar(&secret, "secret", "secret", "what signs the tokens") },
		Pages: func(*app.Health) http.Handler { return pages(secret) },
	}.Main()
}

func pages(secret string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", app.Hello())
	mux.Handle("GET /secure", app.Secure(secret, app.Hello()))
	mux.Handle("GET /version", app.Version(version))
	return mux
}
