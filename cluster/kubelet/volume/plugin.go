package volume

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Plugin sets up the volumes of one kind.
type Plugin interface {
	// Supports reports whether a volume is of the plugin's kind.
	Supports(v *v1.Volume) bool
	// SetUp sets up a volume of the manager's pod. One that is set up stays, and is
	// brought up to date.
	SetUp(ctx context.Context, m *Manager, v *v1.Volume) (Volume, error)
}

var plugins = []Plugin{emptyDir{}, hostPath{}, claim{}, ephemeral{}, nfs{}, gitRepo{}, payloadPlugin{}}

func (m *Manager) setUp(ctx context.Context, v *v1.Volume) (_ Volume, err error) {
	defer func(start time.Time) { operated(v, start, err) }(time.Now())
	for _, p := range plugins {
		if p.Supports(v) {
			return p.SetUp(ctx, m, v)
		}
	}
	return Volume{}, unsupported(v.VolumeSource)
}

// unsupported names the kind of a volume that cannot be mounted, and an alternative.
func unsupported(source any) error {
	kind := cmp.Or(sourceKind(source), "unknown")
	const files = "emptyDir, configMap, secret, projected or downwardAPI for files"
	return fmt.Errorf("volumes of kind %s are not supported on this node: it has no disks of a cloud or a storage system; "+
		"use persistentVolumeClaim, hostPath or nfs for data that is kept, %s", kind, files)
}

// sourceKind is the name of the one field that is set, "" if none is.
func sourceKind(source any) (kind string) {
	fields := reflect.ValueOf(source)
	for i := range fields.NumField() {
		if !fields.Field(i).IsNil() {
			kind, _, _ = strings.Cut(fields.Type().Field(i).Tag.Get("json"), ",")
		}
	}
	return kind
}
