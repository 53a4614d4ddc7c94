package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/builtin"
)

// Huge quantities are found wherever they would be parsed and nowhere else. No case parses one, which would not
// terminate.
func TestHugeQuantities(t *testing.T) {
	long := strings.Repeat("9", 65)
	cpu := func(q string) string {
		return fmt.Sprintf(`{"spec":{"containers":[{"resources":{"limits":{"memory":"1Gi","cpu":%s}}}]}}`, q)
	}
	for body, want := range map[string]error{
		cpu(`"1"`):                                     nil,
		cpu(`"` + long[1:] + `"`):                      nil,
		cpu(`"1e99"`):                                  nil,
		cpu(`"1e-999999999"`):                          api.ErrQuantity,
		cpu(`"1E+100"`):                                api.ErrQuantity,
		cpu(`1e-999999999`):                            api.ErrQuantity,
		cpu(`"1\u0065-999999999"`):                     api.ErrQuantity,
		cpu(`"1e\u002d999999999"`):                     api.ErrQuantity,
		cpu(`"` + long + `"`):                          api.ErrQuantity,
		cpu(`"0.` + long + `"`):                        api.ErrQuantity,
		cpu(long):                                      api.ErrQuantity,
		cpu(`"1e-999999999","cpu":"1"`):                api.ErrQuantity, // the decoder parses both values
		`{"SPEC":{"overhead":{"cpu":"1e-999999999"}}}`: api.ErrQuantity, // some decoders ignore the case
		`{"spec":{"volumes":[{"emptyDir":{"sizeLimit":"1e-999999999"}}]}}`:  api.ErrQuantity,
		`{"metadata":{"name":"1e1000","labels":{"cpu":"1e-999999999"}}}`:    nil,
		`{"spec":{"containers":[{"args":["1e1000","` + long + `"]}]}}`:      nil,
		`{"spec":{"containers":[{"resources":{"limits":[["1e1000"]]}}]}`:    nil,
		`{"spec":{"containers":{"resources":{"limits":{"cpu":"1e1000"}}}}}`: nil,
	} {
		if got := api.CheckQuantities([]byte(body), true, &corev1.Pod{}); !errors.Is(got, want) {
			t.Errorf("%.100s: %v", body, got)
		}
	}
	if err := api.CheckQuantities([]byte(`{"data":{"pi":"`+long+`"}}`), true, &corev1.ConfigMap{}); err != nil {
		t.Errorf("a kind without quantities: %v", err)
	}
}

func TestHugeQuantitiesInProtobuf(t *testing.T) {
	pod := corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "1e1000", Args: []string{strings.Repeat("9", 100)},
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"memory": resource.MustParse("1Gi"), "cpu": resource.MustParse("12345678901234")}},
	}}}}
	body, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := api.CheckQuantities(body, false, &pod); err != nil {
		t.Errorf("small quantities: %v", err)
	}
	huge := strings.Replace(string(body), "12345678901234", "1e-99999999999", 1)
	if err := api.CheckQuantities([]byte(huge), false, &pod); !errors.Is(err, api.ErrQuantity) {
		t.Errorf("a huge one: %v", err)
	}
	inObject := "k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12" + string(append([]byte{byte(len(huge)&0x7f | 0x80), byte(len(huge) >> 7)}, huge...))
	if err := api.CheckQuantities([]byte(inObject), false, &pod); !errors.Is(err, api.ErrQuantity) {
		t.Errorf("a huge one in an object with its kind: %v", err)
	}
}

// The annotations of autoscaling/v1 have quantities.
func TestHugeQuantityInAnnotation(t *testing.T) {
	metrics, err := json.Marshal([]autoscalingv1.MetricSpec{{Type: "Pods", Pods: &autoscalingv1.PodsMetricSource{MetricName: "m", TargetAverageValue: resource.MustParse("12345678901234")}}})
	if err != nil {
		t.Fatal(err)
	}
	hpa := &autoscalingv1.HorizontalPodAutoscaler{}
	hpa.Annotations = map[string]string{"autoscaling.alpha.kubernetes.io/metrics": strings.Replace(string(metrics), "12345678901234", "1e-99999999999", 1)}
	stored, err := builtin.Lookup("autoscaling", "v1", "horizontalpodautoscalers").ToStored(t.Context(), hpa)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored[0].GetAnnotations()) > 0 {
		t.Errorf("kept: %v", stored[0].GetAnnotations())
	}
}
