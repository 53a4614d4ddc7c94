// Auth is the other half of the sample application taken apart: the login.
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
		Name: "auth", Version: version, HealthPort: ":81",
		Flags: func(f *flag.FlagSet) { f.StringVar(&secret, "secret", "secret", "what signs the tokens") },
		Pages: func(*app.Health) http.Handler { return pages(secret) },
	}.Main()
}

func pages(secret string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /login", app.Login(secret))
	mux.Handle("GET /version", app.Version(version))
	return mux
}
