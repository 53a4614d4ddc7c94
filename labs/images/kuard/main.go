// Kuard is an application to try a pod's settings on: its health can be switched off, it
// can be made to use memory, and it shows its files, its environment and its addresses. It
// stands under the name that the field notes use, kuard-amd64:blue, and has the paths of
// that program that the notes show: /healthy and /ready on port 8080.
package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"sync"

	"wheelhouse/labs/images/internal/app"
)

var version = "blue" // the image's tag; build.sh sets it

//go:embed page.html
var pages embed.FS

var page = template.Must(template.ParseFS(pages, "page.html"))

func main() {
	app.Program{Name: "kuard", Version: version, HTTP: ":8080", Pages: handler}.Main()
}

func handler(health *app.Health) http.Handler {
	healthy, ready, memory := &check{well: health.Alive}, &check{well: health.Ready}, &hog{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.Handle("GET /healthy", healthy)
	mux.HandleFunc("PUT /healthy/api", healthy.set)
	mux.Handle("GET /ready", ready)
	mux.HandleFunc("PUT /ready/api", ready.set)
	mux.HandleFunc("GET /env/api", environment)
	mux.HandleFunc("GET /mem/api", memory.show)
	mux.HandleFunc("POST /mem/api/alloc", memory.alloc)
	mux.HandleFunc("POST /mem/api/clear", memory.clear)
	mux.Handle("GET /fs/", http.StripPrefix("/fs", http.FileServer(http.Dir("/"))))
	return mux
}

// check is one of the two questions of a kubelet's probes.
type check struct {
	well func() bool
	mu   sync.Mutex
	fail int // the next so many answers; negative: all
}

func (c *check) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	failing := c.fail != 0
	if c.fail > 0 {
		c.fail--
	}
	c.mu.Unlock()
	if failing || !c.well() {
		http.Error(w, "fail", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "ok")
}

// set takes {"failNext": N}: so many answers will fail; -1: all, 0: none.
func (c *check) set(w http.ResponseWriter, r *http.Request) {
	var wanted struct {
		FailNext *int `json:"failNext"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&wanted); err != nil || wanted.FailNext == nil {
		http.Error(w, `send {"failNext": N}`, http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.fail = *wanted.FailNext
	c.mu.Unlock()
	reply(w, wanted)
}

// hog holds memory until it is released.
type hog struct {
	mu   sync.Mutex
	held [][]byte
	size int64
}

func (h *hog) show(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	reply(w, map[string]int64{"held": h.size})
}

// alloc takes ?size=BYTES more. Each page is written to, for memory that nobody touched
// costs nothing.
func (h *hog) alloc(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(r.FormValue("size"), 10, 64)
	if err != nil || size < 0 || size > 1<<40 {
		http.Error(w, "send ?size=BYTES", http.StatusBadRequest)
		return
	}
	const chunk = 1 << 20
	for size > 0 {
		b := make([]byte, min(size, chunk))
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		h.mu.Lock()
		h.held, h.size = append(h.held, b), h.size+int64(len(b))
		h.mu.Unlock()
		size -= int64(len(b))
	}
	h.show(w, r)
}

func (h *hog) clear(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.held, h.size = nil, 0
	h.mu.Unlock()
	h.show(w, r)
}

func environment(w http.ResponseWriter, _ *http.Request) {
	list := os.Environ()
	sort.Strings(list)
	reply(w, map[string]any{"commandLine": os.Args, "env": list})
}

func reply(w http.ResponseWriter, what any) {
	w.Header().Set("Content-Type", "application/json")
	// The client may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(what)
}

// view is what the first page shows.
type view struct {
	Version, Host, Caller string
	Addresses             []string
}

func home(w http.ResponseWriter, r *http.Request) {
	v := view{Version: version, Caller: r.RemoteAddr}
	v.Host, _ = os.Hostname() // a page without it is better than none
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for _, a := range addresses {
		v.Addresses = append(v.Addresses, a.String())
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, v); err != nil {
		fmt.Fprintln(os.Stderr, "page not sent:", err)
	}
}
