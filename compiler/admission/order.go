// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/bundle"
)

// stages are the names of the stages in the order, and what is waited for after each.
var stages = map[Stage]bundle.Stage{
	StageDefinitions: {Name: "definitions", Ready: bundle.ReadyEstablished},
	StageTemplates:   {Name: "templates", Ready: bundle.ReadyCreated},
	StageRules:       {Name: "rules", Ready: bundle.ReadyNone},
	StageBindings:    {Name: "bindings", Ready: bundle.ReadyNone},
	StageNetwork:     {Name: "network", Ready: bundle.ReadyNone},
}

// What Gatekeeper's manifests (deploy/gatekeeper.yaml) and its chart install.
const (
	gatekeeperConfiguration = "gatekeeper-validating-webhook-configuration"
	gatekeeperWebhook       = "validation.gatekeeper.sh"
)

// gatekeeperAlarm is a counter of kube-apiserver (k8s.io/apiserver/pkg/admission/metrics).
const gatekeeperAlarm = `apiserver_admission_webhook_fail_open_count{name="` + gatekeeperWebhook + `"}`

// vapAlarms are the counter of kube-apiserver by failure policy. A denial is counted as invalid_error too (ErrorType in
// k8s.io/apiserver/pkg/admission/plugin/policy/validating/errors.go), so this type is no alarm; the action allow is counted for errors alone.
var vapAlarms = map[string]string{
	schema.FailurePolicyFail:   `apiserver_validating_admission_policy_check_total{policy=~"writ-.*",error_type=~"compile_error|out_of_budget"}`,
	schema.FailurePolicyIgnore: `apiserver_validating_admission_policy_check_total{policy=~"writ-.*",enforcement_action="allow"}`,
}

// OrderOf returns in which order the objects are applied. cfg is as in [Input].
func OrderOf(objects []Object, cfg schema.Admission) bundle.Order {
	var o bundle.Order
	byStage := map[Stage][]string{}
	for _, object := range objects {
		byStage[object.Stage] = append(byStage[object.Stage], object.Path())
		switch object.By {
		case schema.AdmissionGatekeeper:
			o.FailurePolicies.Gatekeeper = &bundle.WebhookFailure{Configuration: gatekeeperConfiguration, Webhook: gatekeeperWebhook,
				FailurePolicy: cfg.Effective().FailurePolicy.Gatekeeper, Alarm: gatekeeperAlarm}
		case schema.AdmissionVAP:
			policy := cfg.Effective().FailurePolicy.VAP
			o.FailurePolicies.VAP = &bundle.PolicyFailure{FailurePolicy: policy, Alarm: vapAlarms[policy]}
		}
	}
	for stage := StageDefinitions; stage <= StageNetwork; stage++ {
		if len(byStage[stage]) > 0 {
			s := stages[stage]
			s.Objects = byStage[stage]
			slices.Sort(s.Objects)
			o.Stages = append(o.Stages, s)
		}
	}
	return o
}
