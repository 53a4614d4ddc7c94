package kubectl

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/scheme"
)

func rollingUpdateCommand(f util.Factory, streams genericiooptions.IOStreams) *cobra.Command {
	o := &rollingOptions{}
	c := &cobra.Command{
		Use:                   "rolling-update OLD_CONTROLLER_NAME ([NEW_CONTROLLER_NAME] --image=NEW_IMAGE | -f NEW_CONTROLLER_SPEC)",
		Short:                 "Exchange a ReplicationController pod by pod, as kubectl did until 1.17",
		DisableFlagsInUseLine: true,
		Hidden:                true,
		Run: func(c *cobra.Command, args []string) {
			util.CheckErr(o.complete(args))
			fmt.Fprintln(streams.ErrOut, `"kubectl rolling-update" is no longer part of kubectl; today one writes: `+
				`kubectl set image deployment/NAME CONTAINER=IMAGE, with a Deployment in place of the ReplicationController`)
			util.CheckErr(o.run(c.Context(), f, streams))
		},
	}
	flags := c.Flags()
	flags.StringVarP(&o.file, "filename", "f", "", "File with the new ReplicationController.")
	flags.StringVar(&o.image, "image", "", "Image of the new pods, the rest as in the old ones.")
	flags.StringVar(&o.container, "container", "", "The container that gets the image, if there are several.")
	flags.StringVar(&o.key, "deployment-label-key", "deployment", "The label that distinguishes old pods and new ones, with --image.")
	flags.DurationVar(&o.period, "update-period", time.Minute, "Time between two pods.")
	flags.DurationVar(&o.poll, "poll-interval", 3*time.Second, "Time between two polls of the pods.")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "How long to wait for a pod.")
	flags.BoolVar(&o.rollback, "rollback", false, "Roll back an update that was interrupted to the old pods.")
	return c
}

func (o *rollingOptions) complete(args []string) error {
	switch {
	case len(args) == 0 || len(args) > 2:
		return fmt.Errorf("the name of the controller to replace is needed: kubectl rolling-update OLD_NAME -f NEW_SPEC")
	case o.rollback && len(args) == 1 && o.image == "" && o.file == "":
		return fmt.Errorf("--rollback needs the name of the new controller too: kubectl rolling-update OLD_NAME NEW_NAME --rollback")
	case !o.rollback && (o.file == "") == (o.image == ""):
		return fmt.Errorf("one of -f NEW_SPEC and --image NEW_IMAGE is needed")
	case o.file != "" && len(args) == 2:
		return fmt.Errorf("the file names the new controller; leave %q out", args[1])
	case len(args) == 2 && args[0] == args[1]:
		return fmt.Errorf("the new controller needs another name than the old one, %q", args[0])
	}
	o.oldName = args[0]
	if len(args) == 2 {
		o.newName = args[1]
	}
	return nil
}

func (o *rollingOptions) run(ctx context.Context, f util.Factory, streams genericiooptions.IOStreams) error {
	namespace, _, err := f.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return err
	}
	set, err := f.KubernetesClientSet()
	if err != nil {
		return err
	}
	r := &rollingUpdate{rollingOptions: o, controllers: set.CoreV1().ReplicationControllers(namespace), pods: set.CoreV1().Pods(namespace), streams: streams}
	old, err := r.controllers.Get(ctx, o.oldName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	var next *corev1.ReplicationController
	switch {
	case o.file != "":
		next, err = fromFile(f, namespace, o.file)
	case o.rollback && o.image == "":
		next, err = r.controllers.Get(ctx, o.newName, metav1.GetOptions{})
	default:
		if next, err = o.withImage(old); err == nil && !o.rollback {
			old, err = r.distinguish(ctx, old)
		}
	}
	if err != nil {
		return err
	}
	if err := different(old, next); err != nil {
		return err
	}
	return r.replace(ctx, old, next)
}

func fromFile(f util.Factory, namespace, file string) (*corev1.ReplicationController, error) {
	infos, err := f.NewBuilder().WithScheme(scheme.Scheme, corev1.SchemeGroupVersion).NamespaceParam(namespace).DefaultNamespace().
		Path(false, file).Flatten().Do().Infos()
	if err != nil {
		return nil, err
	}
	if len(infos) != 1 {
		return nil, fmt.Errorf("%s holds %d objects; it must hold one ReplicationController", file, len(infos))
	}
	rc, ok := infos[0].Object.(*corev1.ReplicationController)
	if !ok {
		return nil, fmt.Errorf("%s holds a %s; it must hold a ReplicationController", file, infos[0].Object.GetObjectKind().GroupVersionKind().Kind)
	}
	if len(rc.Spec.Selector) == 0 && rc.Spec.Template != nil {
		rc.Spec.Selector = maps.Clone(rc.Spec.Template.Labels)
	}
	return rc, nil
}

// withImage returns the old controller with another image, a label that distinguishes its
// pods, and a generated name if none was given.
func (o *rollingOptions) withImage(old *corev1.ReplicationController) (*corev1.ReplicationController, error) {
	next := &corev1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Name: o.newName, Namespace: old.Namespace, Labels: old.Labels},
		Spec:       *old.Spec.DeepCopy(),
	}
	containers := next.Spec.Template.Spec.Containers
	at := -1
	for i := range containers {
		if o.container == "" && len(containers) == 1 || containers[i].Name == o.container {
			at = i
		}
	}
	switch {
	case at < 0 && o.container == "":
		return nil, fmt.Errorf("the pods of %q have %d containers; --container says which of them gets the image", old.Name, len(containers))
	case at < 0:
		return nil, fmt.Errorf("the pods of %q have no container %q", old.Name, o.container)
	}
	containers[at].Image = o.image
	hash, err := podHash(&next.Spec.Template.Spec)
	if err != nil {
		return nil, err
	}
	if next.Name == "" {
		next.Name = old.Name + "-" + hash
	}
	mark(next, o.key, hash)
	return next, nil
}

func podHash(spec *corev1.PodSpec) (string, error) {
	data, err := spec.Marshal()
	if err != nil {
		return "", fmt.Errorf("hashing the pod template: %w", err)
	}
	sum := fnv.New32a()
	_, _ = sum.Write(data) // never fails
	return rand.SafeEncodeString(fmt.Sprint(sum.Sum32())), nil
}

// mark adds the label key=value to a controller's selector and pod template.
func mark(rc *corev1.ReplicationController, key, value string) {
	rc.Spec.Selector = maps.Clone(rc.Spec.Selector)
	rc.Spec.Template.Labels = maps.Clone(rc.Spec.Template.Labels)
	rc.Spec.Selector[key] = value
	rc.Spec.Template.Labels[key] = value
}

// distinguish adds the label to the old controller and its pods, so that it does not select
// the new one's pods: first to the template, then to the pods, and to the selector last, so
// that every pod always has a controller.
func (r *rollingUpdate) distinguish(ctx context.Context, old *corev1.ReplicationController) (*corev1.ReplicationController, error) {
	if old.Spec.Selector[r.key] != "" {
		return old, nil
	}
	hash, err := podHash(&old.Spec.Template.Spec)
	if err != nil {
		return nil, err
	}
	before := labels.SelectorFromSet(old.Spec.Selector)
	marked := old.DeepCopy()
	mark(marked, r.key, hash)
	selector := marked.Spec.Selector
	marked.Spec.Selector = old.Spec.Selector
	if marked, err = r.controllers.Update(ctx, marked, metav1.UpdateOptions{}); err != nil {
		return nil, err
	}
	pods, err := r.pods.List(ctx, metav1.ListOptions{LabelSelector: before.String()})
	if err != nil {
		return nil, err
	}
	for i := range pods.Items {
		if err := r.label(ctx, &pods.Items[i], hash); err != nil {
			return nil, err
		}
	}
	marked.Spec.Selector = selector
	return r.update(ctx, marked.Name, func(rc *corev1.ReplicationController) { rc.Spec.Selector = selector })
}

// different returns an error unless the two controllers select different pods.
func different(old, next *corev1.ReplicationController) error {
	if old.Name == next.Name {
		return fmt.Errorf("the new controller needs another name than the old one, %q", old.Name)
	}
	for key, value := range old.Spec.Selector {
		if other, ok := next.Spec.Selector[key]; ok && other != value {
			return nil
		}
	}
	return fmt.Errorf("the new controller's selector must differ from the old one's %v in the value of a label", old.Spec.Selector)
}
