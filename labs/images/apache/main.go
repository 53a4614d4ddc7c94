// Apache stands in for the web server of the field notes' life-cycle hooks. It is the
// server and the program that controls it in one, as their hook calls that:
//
//	apachectl -D FOREGROUND      serves port 80; /register/ is what the first hook asks for
//	apachectl -k graceful-stop   stops the server, once the open requests are answered
//
// The real one is slower to listen than a hook is to ask, and the notes' pod would never
// start.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"wheelhouse/labs/images/internal/app"
)

var version = "latest" // the image's tag; build.sh sets it

// server is the container's first process.
const server = 1

func main() {
	if i := slices.Index(os.Args, "-k"); i > 0 {
		if err := control(os.Args[i+1:], syscall.Kill); err != nil {
			fmt.Fprintln(os.Stderr, "apachectl:", err)
			os.Exit(1)
		}
		return
	}
	go gracefully()
	app.Program{
		Name: "apache", Version: version,
		Flags: func(f *flag.FlagSet) { f.String("D", "", "FOREGROUND: the only way there is here") },
		Pages: func(*app.Health) http.Handler { return pages() },
	}.Main()
}

// control does what follows -k.
func control(words []string, kill func(pid int, signal syscall.Signal) error) error {
	if len(words) != 1 || words[0] != "graceful-stop" {
		return errors.New("-k takes graceful-stop")
	}
	return kill(server, syscall.SIGWINCH)
}

// gracefully takes the signal that Apache ends gracefully by for the usual one.
func gracefully() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGWINCH)
	<-told
	fmt.Println("caught SIGWINCH, shutting down gracefully")
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		fmt.Fprintln(os.Stderr, "apache:", err)
	}
}

func pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "<html><body><h1>It works!</h1></body></html>")
	})
	mux.HandleFunc("GET /register/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "registered") })
	return mux
}
