// Monolith is the labs' sample application in one piece: a page for everybody, a login that
// gives a token, and a page that wants the token. It stands under the name of the program
// that the workshop used, and answers as that one does.
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
		Name: "monolith", Version: version, HealthPort: ":81",
		Flags: func(f *flag.FlagSet) { f.StringVar(&secret, "secret", "secret", "what signs the tokens") },
		Pages: func(*app.Health) http.Handler { return pages(secret) },
	}.Main()
}

func pages(secret string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", app.Hello())
	mux.Handle("GET /login", app.Login(secret))
	mux.Handle("GET /secure", app.Secure(secret, app.Hello()))
	mux.Handle("GET /version", app.Version(version))
	return mux
}
