// Guestbook is the web page of the guestbook example: it appends messages at the Redis that takes
// writes, and reads them from the replicas. It stands under the name of the example's front end, and
// has its address /guestbook.php as well.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"html/template"
	"net/http"
	"os"
	"strconv"
	"strings"

	"wheelhouse/labs/images/internal/app"
)

var version = "v4" // the image's tag; build.sh sets it

// What a visitor may write: bytes of a message, and of all messages together.
const (
	longest = 200
	full    = 64 << 10
)

func main() {
	b := &book{}
	app.Program{
		Name: "guestbook", Version: version,
		Pages: func(*app.Health) http.Handler { return b.pages() },
		Flags: func(flags *flag.FlagSet) {
			flags.StringVar((*string)(&b.master), "master", "redis-master:6379", "address of the Redis that takes writes")
			flags.StringVar((*string)(&b.replica), "slave", "redis-slave:6379", "address of the Redis that is read")
		},
	}.Main()
}

// book is the guestbook: one text under one key, with a comma before each message.
type book struct {
	master, replica redis
}

const key = "messages"

func (b *book) pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", b.show)
	mux.HandleFunc("POST /{$}", b.sign)
	mux.HandleFunc("GET /guestbook.php", b.command)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<title>Guestbook</title>
<h1>Guestbook</h1>
<form method="post"><input name="message" maxlength="200" autofocus> <button>Sign</button></form>
<ul>{{range .Messages}}<li>{{.}}</li>{{end}}</ul>
<p>This page is from {{.Host}}.</p>
`))

func (b *book) show(w http.ResponseWriter, r *http.Request) {
	text, err := b.replica.do(r.Context(), "GET", key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	host, _ := os.Hostname() // without a name the page has none
	messages := strings.FieldsFunc(text, func(c rune) bool { return c == ',' })
	_ = page.Execute(w, map[string]any{"Messages": messages, "Host": host})
}

// sign appends a message. A comma in it would be the end of one.
func (b *book) sign(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 4*longest)
	message := strings.ReplaceAll(r.FormValue("message"), ",", ";")
	if message == "" || len(message) > longest {
		http.Error(w, fmt.Sprintf("a message has 1 to %d bytes", longest), http.StatusBadRequest)
		return
	}
	if err := b.add(r, message); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (b *book) add(r *http.Request, message string) error {
	length, err := b.master.do(r.Context(), "STRLEN", key)
	if err != nil {
		return err
	}
	if size, err := strconv.Atoi(length); err != nil || size > full {
		return fmt.Errorf("the guestbook has %s bytes and is full", length)
	}
	_, err = b.master.do(r.Context(), "APPEND", key, ","+message)
	return err
}

// command is the example's own address: cmd=get reads the text, cmd=set replaces it by value.
func (b *book) command(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	answer := map[string]string{}
	var err error
	switch {
	case q.Get("key") != key:
		http.Error(w, "the key is "+key, http.StatusBadRequest)
		return
	case q.Get("cmd") == "set" && len(q.Get("value")) <= full:
		_, err = b.master.do(r.Context(), "SET", key, q.Get("value"))
		answer["message"] = "Updated"
	case q.Get("cmd") == "get":
		answer["data"], err = b.replica.do(r.Context(), "GET", key)
	default:
		http.Error(w, "cmd is get or set", http.StatusBadRequest)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}
