package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

const (
	// LabelRunNamespace of a Job and its Pods has the namespace of the run whose name LabelRun has.
	LabelRunNamespace = "privacy.lethe.dev/run-namespace"
	// annotationRunUID has what tells that a Job is the run's own.
	annotationRunUID = "privacy.lethe.dev/sweep-run-uid"

	// ExitNotNow is the exit code of a worker that may not go on for now, ExitTerminal that of one whose error needs a person.
	ExitNotNow, ExitTerminal = 75, 78

	workerComponent = "sweep-worker"
	managerName     = "manager"
	// jobRetries is how often Kubernetes starts a worker anew that died: after 10 s, then twice as long each time.
	jobRetries = 6
	// jobKept is how long a Job that has ended stays for those who want to read its logs.
	jobKept = 3600
	// tokenVolume begins the names of volumes that the API server adds to each Pod by itself.
	tokenVolume = "kube-api-access-"
)

// Jobs has the shards of runs done by Jobs in the operator's namespace, whose Pods are as the operator's own.
type Jobs struct {
	// Client is not cached.
	Client client.Client
	// Namespace and Pod are the operator's own.
	Namespace, Pod string
	// Args of the command sweep-worker that the operator was given too.
	Args []string
}

// Ensure implements sweeper.Workers.
func (j *Jobs) Ensure(ctx context.Context, want sweeper.Job) (sweeper.JobState, error) {
	job := &batchv1.Job{}
	err := j.Client.Get(ctx, client.ObjectKey{Namespace: j.Namespace, Name: want.Name}, job)
	if apierrors.IsNotFound(err) {
		if job, err = j.make(ctx, want); err == nil {
			err = j.Client.Create(ctx, job)
		}
	}
	switch {
	case apierrors.IsAlreadyExists(err):
		return sweeper.JobState{}, nil // seen at the next look
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		return sweeper.JobState{}, &fault.Transient{Reason: v1alpha1.ReasonJobsUnavailable, Err: err,
			Message: fmt.Sprintf("the API server refuses Job %s in namespace %s: look at the operator's role there, quotas and policies, or set spec.execution.mode to Operator", want.Name, j.Namespace)}
	case err != nil:
		return sweeper.JobState{}, err
	case job.Annotations[annotationRunUID] != want.RunUID:
		return sweeper.JobState{}, fault.Terminalf(v1alpha1.ReasonJobsUnavailable, "there is a Job %s in namespace %s that is not this run's: delete it", want.Name, j.Namespace)
	}
	st := sweeper.JobState{Active: int(job.Status.Active), Ready: int(ptr.Deref(job.Status.Ready, 0)), Ended: !job.DeletionTimestamp.IsZero()}
	if c := ended(job); c != nil {
		st.Ended = true
		if c.Type == batchv1.JobFailed {
			st.Message = c.Reason
		}
	}
	return st, nil
}

// ended is the condition that a Job has ended with; nil while it goes on.
func ended(job *batchv1.Job) *batchv1.JobCondition {
	for i, c := range job.Status.Conditions {
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return &job.Status.Conditions[i]
		}
	}
	return nil
}

// Remove implements sweeper.Workers.
func (j *Jobs) Remove(ctx context.Context, name string) error {
	job := &batchv1.Job{}
	if err := j.Client.Get(ctx, client.ObjectKey{Namespace: j.Namespace, Name: name}, job); err != nil || ended(job) != nil {
		return client.IgnoreNotFound(err)
	}
	err := j.Client.Delete(ctx, job, client.Preconditions{UID: &job.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	return client.IgnoreNotFound(err)
}

// make makes a Job whose Pods are like the operator's own, so that nothing has to be configured twice.
func (j *Jobs) make(ctx context.Context, want sweeper.Job) (*batchv1.Job, error) {
	var own corev1.Pod
	if err := j.Client.Get(ctx, client.ObjectKey{Namespace: j.Namespace, Name: j.Pod}, &own); err != nil {
		return nil, &fault.Transient{Reason: v1alpha1.ReasonJobsUnavailable, Err: err,
			Message: fmt.Sprintf("the operator cannot read its own Pod %s in namespace %s, which the workers' Pods are made from", j.Pod, j.Namespace)}
	}
	labels := map[string]string{"app.kubernetes.io/name": "lethe", "app.kubernetes.io/component": workerComponent, "app.kubernetes.io/managed-by": "lethe",
		LabelRun: labelValue(want.Run), LabelRunNamespace: want.Namespace}
	workers := int32(want.Workers)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: j.Namespace, Name: want.Name, Labels: labels, Annotations: map[string]string{annotationRunUID: want.RunUID}},
		Spec: batchv1.JobSpec{
			CompletionMode: ptr.To(batchv1.IndexedCompletion), Completions: &workers, Parallelism: &workers,
			BackoffLimitPerIndex: ptr.To(int32(jobRetries)), TTLSecondsAfterFinished: ptr.To(int32(jobKept)),
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
				onExit(batchv1.PodFailurePolicyActionIgnore, ExitNotNow), onExit(batchv1.PodFailurePolicyActionFailIndex, ExitTerminal),
				{Action: batchv1.PodFailurePolicyActionIgnore, OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
					{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}},
			}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: j.pod(&own, want)},
		},
	}, nil
}

func onExit(action batchv1.PodFailurePolicyAction, code int32) batchv1.PodFailurePolicyRule {
	return batchv1.PodFailurePolicyRule{Action: action, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
		ContainerName: ptr.To(workerComponent), Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{code}}}
}

// pod takes from the operator's Pod what a worker needs too.
func (j *Jobs) pod(own *corev1.Pod, want sweeper.Job) corev1.PodSpec {
	c := manager(own)
	mounts := slices.DeleteFunc(slices.Clone(c.VolumeMounts), func(m corev1.VolumeMount) bool { return strings.HasPrefix(m.Name, tokenVolume) })
	var volumes []corev1.Volume
	for _, v := range own.Spec.Volumes {
		if slices.ContainsFunc(mounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name }) {
			volumes = append(volumes, v)
		}
	}
	args := append([]string{workerComponent, "--run", want.RunUID, "--job", want.Name}, j.Args...)
	return corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, ServiceAccountName: own.Spec.ServiceAccountName, ImagePullSecrets: own.Spec.ImagePullSecrets,
		SecurityContext: own.Spec.SecurityContext, PriorityClassName: own.Spec.PriorityClassName, RuntimeClassName: own.Spec.RuntimeClassName,
		NodeSelector: own.Spec.NodeSelector, Tolerations: own.Spec.Tolerations, Affinity: own.Spec.Affinity,
		DNSPolicy: own.Spec.DNSPolicy, DNSConfig: own.Spec.DNSConfig, HostAliases: own.Spec.HostAliases,
		TerminationGracePeriodSeconds: own.Spec.TerminationGracePeriodSeconds, Volumes: volumes,
		Containers: []corev1.Container{{
			Name: workerComponent, Image: c.Image, ImagePullPolicy: c.ImagePullPolicy, Command: c.Command, Args: args,
			Env: c.Env, EnvFrom: c.EnvFrom, Resources: c.Resources, SecurityContext: c.SecurityContext, VolumeMounts: mounts,
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		}},
	}
}

// manager is the container of the operator itself: others may have been added to its Pod.
func manager(own *corev1.Pod) corev1.Container {
	for _, c := range own.Spec.Containers {
		if c.Name == managerName {
			return c
		}
	}
	return own.Spec.Containers[0]
}
