{{/*
For application charts that have this one as a dependency: an init container that ends once a service's migrations are
all there. It asks the database, not the Kubernetes API, and needs no rights there.

  initContainers:
    {{- include "dataops.waitContainer" (dict "context" .Subcharts.dataops "service" "notifications") | nindent 8 }}

With secretsAs: files, the pod also needs, under `volumes`:

    {{- include "dataops.waitVolumes" (dict "context" .Subcharts.dataops "service" "notifications") | nindent 8 }}

`name` may be given too, for the container's name.
*/}}
{{- define "dataops.waitContainer" -}}
{{- include "dataops.knownService" . -}}
{{- $root := .context -}}
{{- $arguments := dict "context" $root "services" (list .service) "reading" true "volume" "dataops-secrets" -}}
- name: {{ .name | default (printf "wait-for-%s-migrations" .service | trunc 63 | trimSuffix "-") }}
  image: {{ include "dataops.image" (dict "image" $root.Values.image "tag" $root.Chart.AppVersion) }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  args:
    - wait
    - --service={{ .service }}
    - --timeout={{ $root.Values.wait.timeout }}
    {{- if $root.Values.wait.allowAhead }}
    - --allow-ahead
    {{- end }}
    - --log-format={{ $root.Values.logFormat }}
  {{- with include "dataops.lookingEnv" $arguments | trim }}
  env:
    {{- . | nindent 4 }}
  {{- end }}
  terminationMessagePath: /dev/termination-log
  terminationMessagePolicy: FallbackToLogsOnError
  {{- with $root.Values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.wait.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "dataops.secretsMount" $arguments | trim }}
  volumeMounts:
    {{- . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "dataops.waitVolumes" -}}
{{- include "dataops.knownService" . -}}
{{- $services := list .service -}}
{{- $arguments := dict "context" .context "services" $services "reading" true "volume" "dataops-secrets" -}}
{{- include "dataops.secretsVolume" $arguments | trim -}}
{{- end }}

{{- define "dataops.knownService" -}}
{{- $enabled := include "dataops.services" .context | fromJsonArray -}}
{{- if not (has .service $enabled) -}}
{{- fail (printf "dataops: there is no enabled service %q; there are %s" .service (join ", " $enabled)) -}}
{{- end -}}
{{- end }}
