package images

import (
	"encoding/json"
	"path"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// login is what a pull secret holds for one registry or a part of it.
type login struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth,omitempty"` // both, as base64 of "name:password"
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
	Server        string `json:"serveraddress,omitempty"`
}

// logins reads a pull secret, in today's form or that of the first Docker.
func logins(s *v1.Secret) map[string]login {
	var today struct {
		Auths map[string]login `json:"auths"`
	}
	if json.Unmarshal(s.Data[v1.DockerConfigJsonKey], &today) == nil && len(today.Auths) > 0 {
		return today.Auths
	}
	var first map[string]login
	if json.Unmarshal(s.Data[v1.DockerConfigKey], &first) != nil {
		return nil
	}
	return first
}

// loginMatch is the length of the part of an image's name that an entry of a pull secret
// matches, -1 if it does not match. Its host may have stars; a path is a beginning of the image's.
func loginMatch(server, image string) int {
	if _, rest, ok := strings.Cut(server, "://"); ok {
		server = rest
	}
	host, prefix, _ := strings.Cut(strings.TrimSuffix(server, "/"), "/")
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		host = "docker.io"
	}
	if prefix == "v1" || prefix == "v2" { // the path of the protocol, as docker login writes it
		prefix = ""
	}
	registry := registryOf(image)
	if ok, err := path.Match(host, registry); err != nil || !ok || strings.Count(host, ".") != strings.Count(registry, ".") {
		return -1
	}
	name := strings.TrimPrefix(image, registry+"/")
	if prefix != "" && name != prefix && !strings.HasPrefix(name, prefix+"/") && !strings.HasPrefix(name, prefix+":") && !strings.HasPrefix(name, prefix+"@") {
		return -1
	}
	return len(prefix) + len(strings.ReplaceAll(host, "*", ""))
}
