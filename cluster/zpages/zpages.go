// Package zpages serves the pages of a component for who looks for a fault: /statusz, /flagz and
// /debug/pprof/, with upstream's paths and forms.
//
// It authorizes nothing: the caller puts it behind its own authorization. Values of flags that
// are secrets are not shown (Flags). A profile ends with its request.
package zpages

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/pprof"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/munnerz/goautoneg"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Compatible is the release of Kubernetes with which the components are compatible.
const Compatible = "1.36.3"

// Config is what the pages show.
type Config struct {
	Component string // upstream's name of it, such as kube-apiserver
	Version   string // of the release that the component is compatible with
	// Paths are further paths that the component serves, of which /statusz lists the first part.
	Paths []string
	Flags map[string]string
}

// group is the one of the structured forms.
const group = "config.k8s.io"

// classified are flags whose values are secrets.
var classified = []string{"token"}

// Flags returns the values of flags, without those that are secrets.
func Flags(set *pflag.FlagSet) map[string]string {
	out := map[string]string{}
	if set == nil {
		return out
	}
	set.VisitAll(func(f *pflag.Flag) {
		out[f.Name] = f.Value.String()
		if slices.Contains(classified, f.Name) && out[f.Name] != "" {
			out[f.Name] = "CLASSIFIED"
		}
	})
	return out
}

// started is when the process began, as far as a package can tell.
var started = time.Now()

// Handlers returns the handler of each path; one that ends with / serves what is below it, too.
func Handlers(c Config) map[string]http.Handler {
	all := profiles()
	all["/statusz"] = page{"Statusz", "statusz", c.Component, c.status, c.statusText}
	all["/flagz"] = page{"Flagz", "flagz", c.Component, c.flags, c.flagsText}
	return all
}

// profiles are the handlers of net/http/pprof.
func profiles() map[string]http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return map[string]http.Handler{
		"/debug/pprof": http.RedirectHandler("/debug/pprof/", http.StatusFound), "/debug/pprof/": mux,
	}
}

// page is one of /statusz and /flagz.
type page struct {
	kind, name string
	component  string
	fields     func() map[string]any
	text       func() string
}

// accepted are the media types in the order of upstream's message.
var accepted = []string{"application/json", "application/yaml", "text/plain"}

// ServeHTTP answers in text, or with an object of the kind where the Accept header names it
// (application/json;as=Statusz;v=v1beta1;g=config.k8s.io).
func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := r.Header.Get("Accept")
	if strings.TrimSpace(header) == "" {
		p.writeText(w)
		return
	}
	for _, clause := range goautoneg.ParseAccept(header) {
		version := clause.Params["v"]
		structured := clause.Params["as"] == p.kind && clause.Params["g"] == group && (version == "v1beta1" || version == "v1alpha1")
		switch media := clause.Type + "/" + clause.SubType; {
		case clause.Params["as"] == "" && (media == "text/plain" || media == "text/*" || media == "*/*"):
			p.writeText(w)
			return
		case structured && (media == "application/json" || media == "application/yaml"):
			p.writeObject(w, media, version)
			return
		}
	}
	http.Error(w, "only the following media types are accepted: "+strings.Join(accepted, ", "), http.StatusNotAcceptable)
}

func (p page) writeText(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "\n%s %s\nWarning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.\n%s",
		p.component, p.name, p.text())
}

func (p page) writeObject(w http.ResponseWriter, media, version string) {
	object := p.fields()
	object["kind"], object["apiVersion"], object["metadata"] = p.kind, group+"/"+version, map[string]string{"name": p.component}
	if version == "v1alpha1" {
		w.Header().Set("Warning", `299 - "This version of the `+p.name+` endpoint is deprecated. Please use a newer version."`)
	}
	encode := json.Marshal
	if media == "application/yaml" {
		encode = yaml.Marshal
	}
	body, err := encode(object)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", media)
	_, _ = w.Write(body) // a client that went away
}

func (c Config) emulated() string {
	parts := strings.SplitN(c.Version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

func (c Config) status() map[string]any {
	return map[string]any{
		"startTime": metav1.NewTime(started), "uptimeSeconds": int64(time.Since(started).Seconds()),
		"goVersion": runtime.Version(), "binaryVersion": c.Version, "emulationVersion": c.emulated(), "paths": c.paths(),
	}
}

func (c Config) statusText() string {
	up := int64(time.Since(started).Seconds())
	return fmt.Sprintf("\nStarted: %s\nUp: %d hr %02d min %02d sec\nGo version: %s\nBinary version: %s\nEmulation version: %s\nPaths: %s\n",
		started.Format(time.UnixDate), up/3600, up/60%60, up%60, runtime.Version(), c.Version, c.emulated(), strings.Join(c.paths(), " "))
}

// data are paths that show no state of the component.
var data = []string{"/api", "/apis", "/openapi", "/openid", "/.well-known"}

// paths are the first parts of the paths that show the component's state.
func (c Config) paths() []string {
	first := map[string]bool{"/debug": true, "/flagz": true, "/statusz": true}
	for _, path := range c.Paths {
		part, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if part != "" && !slices.Contains(data, "/"+part) {
			first["/"+part] = true
		}
	}
	return slices.Sorted(maps.Keys(first))
}

func (c Config) flags() map[string]any { return map[string]any{"flags": c.Flags} }

func (c Config) flagsText() string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.Flags)) {
		fmt.Fprintf(&out, "%s=%s\n", name, c.Flags[name])
	}
	return out.String()
}
