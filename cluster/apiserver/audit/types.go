// Package audit logs who did what to the cluster: a line of JSON, an Event of
// audit.k8s.io/v1, for each stage of the requests that a Policy selects.
//
// It owns the policy, the events and the log. The API server must Start a Trail for each
// request, report its progress and Complete it. A request never waits for the log: what does
// not fit into the queue is discarded and counted.
package audit

import (
	"encoding/json"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const apiVersion = "audit.k8s.io/v1"

// Level is how much of a request is logged.
type Level string

// The levels, each with all that the one before it has.
const (
	LevelNone            Level = "None"
	LevelMetadata        Level = "Metadata" // who, when, what, and the answer's code
	LevelRequest         Level = "Request"  // and the object that the client sent
	LevelRequestResponse Level = "RequestResponse"
)

var levels = []Level{LevelNone, LevelMetadata, LevelRequest, LevelRequestResponse}

// Stage is the progress of a request.
type Stage string

// The stages, of which each request has two, or three if it is long-running.
const (
	StageRequestReceived  Stage = "RequestReceived"
	StageResponseStarted  Stage = "ResponseStarted" // of long-running requests, and of those not authenticated
	StageResponseComplete Stage = "ResponseComplete"
	StagePanic            Stage = "Panic"
)

var stages = []Stage{StageRequestReceived, StageResponseStarted, StageResponseComplete, StagePanic}

// Event is one line of the log.
type Event struct {
	metav1.TypeMeta          `json:",inline"`
	Level                    Level                      `json:"level"`
	AuditID                  types.UID                  `json:"auditID"`
	Stage                    Stage                      `json:"stage"`
	RequestURI               string                     `json:"requestURI"`
	Verb                     string                     `json:"verb"`
	User                     authenticationv1.UserInfo  `json:"user"`
	ImpersonatedUser         *authenticationv1.UserInfo `json:"impersonatedUser,omitempty"`
	AuthenticationMetadata   *AuthenticationMetadata    `json:"authenticationMetadata,omitempty"`
	SourceIPs                []string                   `json:"sourceIPs,omitempty"` // all but the last are claimed by the client
	UserAgent                string                     `json:"userAgent,omitempty"` // claimed by the client
	ObjectRef                *ObjectReference           `json:"objectRef,omitempty"`
	ResponseStatus           *metav1.Status             `json:"responseStatus,omitempty"`
	RequestObject            json.RawMessage            `json:"requestObject,omitempty"`
	ResponseObject           json.RawMessage            `json:"responseObject,omitempty"`
	RequestReceivedTimestamp metav1.MicroTime           `json:"requestReceivedTimestamp"`
	StageTimestamp           metav1.MicroTime           `json:"stageTimestamp"`
	Annotations              map[string]string          `json:"annotations,omitempty"`
}

// AuthenticationMetadata says how the sender was authenticated.
type AuthenticationMetadata struct {
	// ImpersonationConstraint is the verb by which the sender may impersonate, of a constrained mode.
	ImpersonationConstraint string `json:"impersonationConstraint,omitempty"`
}

// ObjectReference is the object that a request is about.
type ObjectReference struct {
	Resource        string    `json:"resource,omitempty"`
	Namespace       string    `json:"namespace,omitempty"`
	Name            string    `json:"name,omitempty"`
	UID             types.UID `json:"uid,omitempty"`
	APIGroup        string    `json:"apiGroup,omitempty"`
	APIVersion      string    `json:"apiVersion,omitempty"`
	ResourceVersion string    `json:"resourceVersion,omitempty"`
	Subresource     string    `json:"subresource,omitempty"`
}

// Policy selects the requests that are logged, and how much of them: the first rule that
// matches counts, and a request without one is not logged.
type Policy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Rules             []PolicyRule `json:"rules"`
	OmitStages        []Stage      `json:"omitStages,omitempty"`
	OmitManagedFields bool         `json:"omitManagedFields,omitempty"`
}

// PolicyRule selects requests; an empty field selects all. It has Resources or Namespaces,
// or NonResourceURLs, or none of them.
type PolicyRule struct {
	Level           Level            `json:"level"`
	Users           []string         `json:"users,omitempty"`
	UserGroups      []string         `json:"userGroups,omitempty"`
	Verbs           []string         `json:"verbs,omitempty"`
	Resources       []GroupResources `json:"resources,omitempty"`
	Namespaces      []string         `json:"namespaces,omitempty"` // "" is what has no namespace
	NonResourceURLs []string         `json:"nonResourceURLs,omitempty"`
	// OmitStages is added to the policy's; OmitManagedFields replaces it.
	OmitStages        []Stage `json:"omitStages,omitempty"`
	OmitManagedFields *bool   `json:"omitManagedFields,omitempty"`
}

// GroupResources are resources of a group: "pods", "pods/log", "pods/*", "*/scale" or
// "*" for all with their subresources. None named are all.
type GroupResources struct {
	Group         string   `json:"group,omitempty"`
	Resources     []string `json:"resources,omitempty"`
	ResourceNames []string `json:"resourceNames,omitempty"`
}
