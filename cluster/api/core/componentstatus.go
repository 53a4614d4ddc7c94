package core

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// ComponentStatuses is the kind ComponentStatus. The server checks the components of the control plane on each
// read.
var ComponentStatuses = api.Of[corev1.ComponentStatus, corev1.ComponentStatusList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "ComponentStatus"),
	Plural:           "componentstatuses", Singular: "componentstatus", Short: []string{"cs"},
	Verbs:   []string{"get", "list"},
	Virtual: true,

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Status", "string", 0, "Status of the component conditions"),
		rules.Column("Message", "string", 0, "Message of the component conditions"),
		rules.Column("Error", "string", 0, "Error of the component conditions"),
	},
	Row: rules.Typed(func(c *corev1.ComponentStatus) []any {
		status, message, failure := "Unknown", "", ""
		for _, cond := range c.Conditions {
			if cond.Type != corev1.ComponentHealthy {
				continue
			}
			switch cond.Status {
			case corev1.ConditionTrue:
				status = "Healthy"
			case corev1.ConditionFalse:
				status = "Unhealthy"
			}
			message, failure = cond.Message, cond.Error
		}
		return []any{c.Name, status, message, failure}
	}),
})
