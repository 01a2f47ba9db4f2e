{{/* Names and labels, as `helm create` writes them. */}}
{{- define "dataops.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "dataops.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "dataops.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "dataops.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "dataops.selectorLabels" -}}
app.kubernetes.io/name: {{ include "dataops.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dataops.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "dataops.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: dataops
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "dataops.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "dataops.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{/* An image from {repository, tag, digest}. Called with (dict "image" ... "tag" DEFAULT). */}}
{{- define "dataops.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .tag) -}}
{{- end -}}
{{- end }}

{{/* The names of the enabled services, in order, as JSON. */}}
{{- define "dataops.services" -}}
{{- $names := list -}}
{{- range $name := keys .Values.services | sortAlpha -}}
{{- with index $.Values.services $name -}}
{{- if ne (toString .enabled) "false" -}}{{- $names = append $names $name -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end }}

{{/* What ends a Job's name: the revision, or jobs.nameSuffix, which may be an image's tag. */}}
{{- define "dataops.suffix" -}}
{{- .Values.jobs.nameSuffix | default .Release.Revision | toString | lower | replace "." "-" | replace "_" "-" -}}
{{- end }}

{{/* RELEASE-name-REVISION, never longer than a label may be. Called with (dict "context" . "name" ...). */}}
{{- define "dataops.jobName" -}}
{{- $suffix := include "dataops.suffix" .context -}}
{{- $room := sub 62 (len $suffix) | int -}}
{{- printf "%s-%s" (printf "%s-%s" .context.Release.Name .name | trunc $room | trimSuffix "-") $suffix -}}
{{- end }}

{{/* The Job of one service, with jobs.perService. Called with (dict "context" . "service" NAME). */}}
{{- define "dataops.serviceJobName" -}}
{{- $name := (index .context.Values.services .service).jobName | default (printf "%s-migrate" .service) -}}
{{- include "dataops.jobName" (dict "context" .context "name" $name) -}}
{{- end }}

{{/*
The name of a CronJob. Called with (dict "context" . "component" "check").
*/}}
{{- define "dataops.lookName" -}}
{{- printf "%s-%s" (include "dataops.fullname" .context | trunc 46 | trimSuffix "-") .component -}}
{{- end }}

{{/*
The variables of some services, those of the read-only role where there is one and `reading` is true.
Called with (dict "context" . "services" LIST "reading" BOOL). As JSON: {NAME: SOURCE}.
*/}}
{{- define "dataops.variables" -}}
{{- $found := dict -}}
{{- range $name := .services -}}
{{- $service := index $.context.Values.services $name -}}
{{- $env := $service.env -}}
{{- if and $.reading $service.readEnv -}}{{- $env = $service.readEnv -}}{{- end -}}
{{- range $variable, $source := $env -}}
{{- if $source -}}{{- $_ := set $found $variable $source -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end }}

{{/* `env` of a container of dataops, without extraEnv. Called like dataops.variables. */}}
{{- define "dataops.env" -}}
{{- $files := eq .context.Values.secretsAs "files" -}}
{{- range $variable, $source := include "dataops.variables" . | fromJson }}
{{- if hasKey $source "value" }}
- name: {{ $variable }}
  value: {{ $source.value | quote }}
{{- else if $files }}
- name: {{ $variable }}_FILE
  value: /var/run/secrets/dataops/{{ $variable }}
{{- else }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $source.secret }}
      key: {{ $source.key }}
{{- end }}
{{- end }}
{{- end }}

{{/* The same with extraEnv, for what only looks. */}}
{{- define "dataops.lookingEnv" -}}
{{- include "dataops.env" . }}
{{- with .context.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* One volume with the secrets of some services as files; nothing with secretsAs: env. Called like dataops.variables. */}}
{{- define "dataops.secretsVolume" -}}
{{- if eq .context.Values.secretsAs "files" }}
{{- $sources := list }}
{{- range $variable, $source := include "dataops.variables" . | fromJson }}
{{- if hasKey $source "secret" }}
{{- $item := dict "key" $source.key "path" $variable }}
{{- $sources = append $sources (dict "secret" (dict "name" $source.secret "items" (list $item))) }}
{{- end }}
{{- end }}
{{- if $sources }}
- name: {{ .volume | default "secrets" }}
  projected:
    # 0444: the user id is not known here, and nobody else is in the pod.
    defaultMode: 292
    sources:
      {{- toYaml $sources | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "dataops.secretsMount" -}}
{{- if include "dataops.secretsVolume" . }}
- name: {{ .volume | default "secrets" }}
  mountPath: /var/run/secrets/dataops
  readOnly: true
{{- end }}
{{- end }}

{{/* What every pod of this chart has. Called with the root context. */}}
{{- define "dataops.podSettings" -}}
serviceAccountName: {{ include "dataops.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
