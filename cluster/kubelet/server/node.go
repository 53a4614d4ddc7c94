package server

import (
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/util/validation"
)

// serveHealth answers whether the node is ready.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	if err := s.Node.Health(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, "ok")
}

func (s *Server) serveResourceMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprint(w, s.Usage.ResourceMetrics())
}

// serveNodeLogs answers with the files of the node's /var/log.
func (s *Server) serveNodeLogs(w http.ResponseWriter, r *http.Request) {
	logs, done, err := s.Disk.Logs()
	if err != nil {
		failRequest(w, err)
		return
	}
	defer done()
	http.StripPrefix("/logs/", http.FileServerFS(logs)).ServeHTTP(w, r)
}

// serveRemoveProvisioned answers DELETE /provisionedVolumes/NAME of the volume controller.
func (s *Server) serveRemoveProvisioned(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if bad := validation.IsDNS1123Subdomain(name); len(bad) > 0 {
		failRequest(w, badRequest("%q is not the name of a volume: %s", name, bad[0]))
		return
	}
	if err := s.Disk.RemoveProvisioned(name); err != nil {
		failRequest(w, err)
		return
	}
	s.Log.Info("removed the data of a volume", "volume", name)
	writeJSON(w, map[string]string{"removed": name})
}
