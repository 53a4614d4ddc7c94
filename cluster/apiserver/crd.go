package apiserver

import (
	"fmt"
	"net/http"
)

// noCustomResources answers the list of CustomResourceDefinitions: there are none. A
// kubectl that meets a kind it does not know asks for them before it says what is
// wrong; without an answer it would complain about the question.
func (r *request) noCustomResources() error {
	body := fmt.Sprintf(`{"kind":"CustomResourceDefinitionList","apiVersion":"apiextensions.k8s.io/v1","metadata":{"resourceVersion":"%d"},"items":[]}`+"\n", r.s.Store.Revision())
	return r.writeBody(http.StatusOK, "application/json", []byte(body))
}

func (r *request) asksForCustomResources() bool {
	return r.Group == "apiextensions.k8s.io" && r.Version == "v1" && r.Plural == "customresourcedefinitions" && r.Verb == "list" &&
		r.Namespace == "" && !r.Named
}
