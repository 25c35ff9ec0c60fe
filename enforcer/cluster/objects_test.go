// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Images of the tests' policy: one that every workload allows, and one that none does.
const (
	goodImage = "registry.example.com/shop/web:1"
	badImage  = "registry.example.com/other/web:1"
)

// web are the labels that the workloads of the tests' policy select.
var web = map[string]string{"app": "web"}

func pod(namespace, image string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: namespace, Labels: web}, Spec: podSpec(image)}
	for _, f := range change {
		f(p)
	}
	return p
}

func podSpec(image string) corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}}
}

// named gives a Pod another name.
func named(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Name = name }
}

func privileged(p *corev1.Pod) {
	p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
}

func hostNetwork(p *corev1.Pod) { p.Spec.HostNetwork = true }

// makers returns an object of every built-in kind that makes Pods, of the same template.
func makers(namespace string, spec corev1.PodSpec) map[string]client.Object {
	meta := metav1.ObjectMeta{Name: "web", Namespace: namespace}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: web}, Spec: spec}
	once := *template.DeepCopy()
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	selector := &metav1.LabelSelector{MatchLabels: web}
	return map[string]client.Object{
		"Deployment":  &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}},
		"StatefulSet": &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template}},
		"DaemonSet":   &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}},
		"ReplicaSet":  &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: template}},
		"ReplicationController": &corev1.ReplicationController{ObjectMeta: meta,
			Spec: corev1.ReplicationControllerSpec{Selector: web, Template: &template}},
		"PodTemplate": &corev1.PodTemplate{ObjectMeta: meta, Template: template},
		"Job":         &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: once}},
		"CronJob": &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: "0 3 * * *",
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: once}}}},
	}
}

// rolloutKind is a kind that makes Pods and that Kubernetes does not know, as Argo Rollouts has it.
var rolloutKind = metav1.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Rollout"}

func rolloutDefinition() *unstructured.Unstructured {
	open := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "rollouts.argoproj.io"},
		"spec": map[string]any{
			"group": rolloutKind.Group, "scope": "Namespaced",
			"names": map[string]any{"kind": rolloutKind.Kind, "listKind": "RolloutList", "plural": "rollouts", "singular": "rollout"},
			"versions": []any{map[string]any{"name": rolloutKind.Version, "served": true, "storage": true, "schema": map[string]any{
				"openAPIV3Schema": map[string]any{"type": "object", "properties": map[string]any{"spec": open}}}}},
		}}}
}

func rollout(namespace, image string) *unstructured.Unstructured {
	labels := map[string]any{"app": "web"}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": rolloutKind.Group + "/" + rolloutKind.Version, "kind": rolloutKind.Kind,
		"metadata": map[string]any{"name": "web", "namespace": namespace},
		"spec": map[string]any{"selector": map[string]any{"matchLabels": labels}, "template": map[string]any{
			"metadata": map[string]any{"labels": labels},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "web", "image": image}}}}},
	}}
}
