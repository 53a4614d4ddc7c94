package kubectl

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/generate/versioned"
	"k8s.io/kubectl/pkg/scheme"
)

// oldRunFlags are flags that `kubectl run` had until 1.18 (some until 1.24): with one of them
// the command line is an old one.
var oldRunFlags = []string{"--replicas", "--generator", "--schedule", "--service-generator", "--hostport", "--limits", "--requests", "--serviceaccount", "--record"}

// isLegacyRun reports whether the arguments of `run` are those of a kubectl before 1.18.
func isLegacyRun(args []string, year kubectlYear) bool {
	interactive := false
	for _, a := range args {
		if a == "--" {
			break
		}
		name, _, _ := strings.Cut(a, "=")
		for _, f := range oldRunFlags {
			if name == f {
				return true
			}
		}
		interactive = interactive || name == "--stdin" || name == "--tty" || name == "--attach" || name == "--rm" || name == "-i" || name == "-t" || name == "-it" || name == "-ti"
	}
	// An interactive run creates a pod in all versions.
	return year != today && !interactive
}

// runOptions are the flags of `kubectl run` of 1.2 to 1.17 that describe the objects.
type runOptions struct {
	name, image, port, hostPort     string
	replicas                        int32
	expose, command                 bool
	generator, schedule, restart    string
	labels, limits, requests        string
	serviceAccount, pull            string
	env, args                       []string
	record, ignoredServiceGenerator string
}

func runCommand(f util.Factory, streams genericiooptions.IOStreams, year kubectlYear) *cobra.Command {
	o := &runOptions{}
	printing := genericclioptions.NewPrintFlags("created").WithTypeSetter(scheme.Scheme)
	c := &cobra.Command{
		Use:                   "run NAME --image=image [--replicas=replicas] [--port=port] [--expose] [--env=\"key=value\"] [-- COMMAND] [args...]",
		Short:                 "Create a controller of pods of one image, as kubectl did until 1.17",
		DisableFlagsInUseLine: true,
		Run: func(c *cobra.Command, args []string) {
			util.CheckErr(o.complete(args, year))
			fmt.Fprintln(streams.ErrOut, o.note())
			util.CheckErr(o.run(c.Context(), f, c, printing, streams))
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.image, "image", "", "The image for the container to run.")
	flags.Int32VarP(&o.replicas, "replicas", "r", 1, "Number of pods.")
	flags.StringVar(&o.port, "port", "", "The port that the container serves.")
	flags.StringVar(&o.hostPort, "hostport", "", "The port of the node that is mapped to it.")
	flags.BoolVar(&o.expose, "expose", false, "Also create a service for the pods; needs --port.")
	flags.BoolVar(&o.command, "command", false, "What follows -- is the command, not its arguments.")
	flags.StringVar(&o.generator, "generator", "", "What to create: deployment/v1beta1, run/v1, run-pod/v1, job/v1 or cronjob/v1beta1.")
	flags.StringVar(&o.schedule, "schedule", "", "Create a CronJob of this schedule.")
	flags.StringVar(&o.restart, "restart", "Always", "Always creates a Deployment, OnFailure a Job, Never a Pod.")
	flags.StringVarP(&o.labels, "labels", "l", "", "Labels of the created objects, instead of run=NAME.")
	flags.StringVar(&o.limits, "limits", "", "Such as cpu=200m,memory=512Mi.")
	flags.StringVar(&o.requests, "requests", "", "Such as cpu=100m,memory=256Mi.")
	flags.StringVar(&o.serviceAccount, "serviceaccount", "", "The pods' service account.")
	flags.StringVar(&o.pull, "image-pull-policy", "", "Always, IfNotPresent or Never.")
	flags.StringArrayVar(&o.env, "env", nil, "Environment variables, key=value.")
	flags.StringVar(&o.record, "record", "", "Has no effect.")
	flags.StringVar(&o.ignoredServiceGenerator, "service-generator", "", "Has no effect.")
	flags.Lookup("record").NoOptDefVal = "true"
	util.AddDryRunFlag(c)
	printing.AddFlags(c)
	return c
}

// complete sets the name, the command and the generator.
func (o *runOptions) complete(args []string, year kubectlYear) error {
	if len(args) == 0 {
		return fmt.Errorf("a NAME is needed: kubectl run NAME --image=IMAGE")
	}
	o.name, o.args = args[0], args[1:]
	switch {
	case o.image == "":
		return fmt.Errorf("--image is needed: kubectl run %s --image=IMAGE", o.name)
	case o.expose && o.port == "":
		return fmt.Errorf("--port=PORT is needed with --expose: the service leads to it")
	case o.replicas < 0:
		return fmt.Errorf("--replicas is %d: it cannot be below 0", o.replicas)
	}
	kind, _, _ := strings.Cut(o.generator, "/")
	switch {
	case kind == "" && o.schedule != "":
		kind = "cronjob"
	case kind == "" && o.restart == string(corev1.RestartPolicyAlways) && year == year2015:
		kind = "run"
	case kind == "" && o.restart == string(corev1.RestartPolicyAlways):
		kind = "deployment"
	case kind == "" && o.restart == string(corev1.RestartPolicyOnFailure):
		kind = "job"
	case kind == "" && o.restart == string(corev1.RestartPolicyNever):
		kind = "run-pod"
	case kind == "":
		return fmt.Errorf("--restart is %q: it can be Always, OnFailure or Never", o.restart)
	}
	o.generator = kind
	return nil
}

// note returns today's spelling of the command.
func (o *runOptions) note() string {
	image := "--image=" + o.image
	var line []string
	switch o.generator {
	case "deployment", "run":
		line = []string{"create", "deployment", o.name, image, fmt.Sprintf("--replicas=%d", o.replicas)}
	case "job":
		line = []string{"create", "job", o.name, image}
	case "cronjob":
		line = []string{"create", "cronjob", o.name, image, "--schedule=" + o.schedule}
	default:
		line = []string{"run", o.name, image}
	}
	if o.port != "" && o.generator != "job" && o.generator != "cronjob" {
		line = append(line, "--port="+o.port)
	}
	if len(o.args) > 0 {
		line = append(append(line, "--"), o.args...)
	}
	text := note("kubectl run "+o.generator, line)
	if o.expose {
		text += fmt.Sprintf("; kubectl expose deployment %s --port=%s", o.name, o.port)
	}
	return text
}

func (o *runOptions) run(ctx context.Context, f util.Factory, c *cobra.Command, printing *genericclioptions.PrintFlags, streams genericiooptions.IOStreams) error {
	objects, err := o.objects()
	if err != nil {
		return err
	}
	dry, err := util.GetDryRunStrategy(c)
	if err != nil {
		return err
	}
	util.PrintFlagsWithDryRunStrategy(printing, dry)
	printer, err := printing.ToPrinter()
	if err != nil {
		return err
	}
	namespace, _, err := f.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return err
	}
	set, err := f.KubernetesClientSet()
	if err != nil {
		return err
	}
	options := metav1.CreateOptions{FieldManager: "kubectl-run"}
	if dry == util.DryRunServer {
		options.DryRun = []string{metav1.DryRunAll}
	}
	for _, obj := range objects {
		if dry != util.DryRunClient {
			if obj, err = createObject(ctx, set, namespace, obj, options); err != nil {
				return err
			}
		}
		if err := printer.PrintObj(obj, streams.Out); err != nil {
			return err
		}
	}
	return nil
}

func createObject(ctx context.Context, set kubernetes.Interface, namespace string, obj runtime.Object, o metav1.CreateOptions) (runtime.Object, error) {
	switch obj := obj.(type) {
	case *corev1.Pod:
		return set.CoreV1().Pods(namespace).Create(ctx, obj, o)
	case *corev1.Service:
		return set.CoreV1().Services(namespace).Create(ctx, obj, o)
	case *corev1.ReplicationController:
		return set.CoreV1().ReplicationControllers(namespace).Create(ctx, obj, o)
	case *appsv1.Deployment:
		return set.AppsV1().Deployments(namespace).Create(ctx, obj, o)
	case *batchv1.Job:
		return set.BatchV1().Jobs(namespace).Create(ctx, obj, o)
	case *batchv1.CronJob:
		return set.BatchV1().CronJobs(namespace).Create(ctx, obj, o)
	}
	return nil, fmt.Errorf("no way to create a %T", obj)
}

// objects returns the objects of the command line, the service first as in old versions.
func (o *runOptions) objects() ([]runtime.Object, error) {
	made, err := versioned.BasicPod{}.Generate(map[string]any{
		"name": o.name, "image": o.image, "image-pull-policy": o.pull, "port": o.port, "hostport": o.hostPort, "labels": o.labels,
		"restart": "", "command": fmt.Sprint(o.command), "args": o.args, "env": o.env, "requests": o.requests, "limits": o.limits,
		"serviceaccount": o.serviceAccount,
	})
	if err != nil {
		return nil, err
	}
	pod := made.(*corev1.Pod)
	controller, err := o.controller(pod)
	if err != nil {
		return nil, err
	}
	if !o.expose {
		return []runtime.Object{controller}, nil
	}
	labels := metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: pod.Labels})
	service, err := versioned.ServiceGeneratorV2{}.Generate(map[string]any{"name": o.name, "selector": labels, "port": o.port})
	if err != nil {
		return nil, err
	}
	return []runtime.Object{service, controller}, nil
}

func (o *runOptions) controller(pod *corev1.Pod) (runtime.Object, error) {
	meta := metav1.ObjectMeta{Name: o.name, Labels: pod.Labels}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels}, Spec: pod.Spec}
	template.Spec.RestartPolicy = corev1.RestartPolicy(o.restart)
	switch o.generator {
	case "run-pod":
		pod.Spec.RestartPolicy = template.Spec.RestartPolicy
		return pod, nil
	case "run":
		return &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{
			Replicas: &o.replicas, Selector: pod.Labels, Template: &template,
		}}, nil
	case "deployment":
		return &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Replicas: &o.replicas, Selector: &metav1.LabelSelector{MatchLabels: pod.Labels}, Template: template,
		}}, nil
	case "job", "cronjob", "scheduledjob":
		if o.restart == string(corev1.RestartPolicyAlways) {
			template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
		}
		spec := batchv1.JobSpec{Template: template}
		if o.generator == "job" {
			return &batchv1.Job{ObjectMeta: meta, Spec: spec}, nil
		}
		return &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{
			Schedule: o.schedule, JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels}, Spec: spec},
		}}, nil
	}
	return nil, fmt.Errorf("--generator is %q: it can be deployment/v1beta1, run/v1, run-pod/v1, job/v1 or cronjob/v1beta1", o.generator)
}
