{{/*
The Job that migrates some services. Called with (dict "context" . "services" LIST "jobName" NAME). With "component"
"background" it first waits until the Job of the release has done what is not for the background.

podFailurePolicy: each exit code of dataops is in exactly one rule; what matches none (137, out of memory) counts
against backoffLimit. Only the container of dataops is asked: a backup's exit code 4 is not ours.
*/}}
{{- define "dataops.job" -}}
{{- $root := .context -}}
{{- $jobs := $root.Values.jobs -}}
{{- $arguments := dict "context" $root "services" .services "reading" false -}}
{{- $backups := include "dataops.backupContainers" . | trim -}}
{{- $background := eq (.component | default "") "background" -}}
{{- $waiting := dict "context" $root "service" (first .services) -}}
{{- $failing := list 1 2 4 5 6 7 8 9 64 -}}
{{- $shards := include "dataops.shards" . | int -}}
{{- if eq $jobs.onFailedMigration "Count" -}}{{- $failing = rest $failing -}}{{- end -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .jobName }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "dataops.labels" $root | nindent 4 }}
    {{- include "dataops.jobLabels" . | nindent 4 }}
    {{- with $jobs.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or $jobs.annotations (eq $jobs.mode "hook") }}
  annotations:
    {{- if eq $jobs.mode "hook" }}
    helm.sh/hook: {{ join "," $jobs.hook.events }}
    helm.sh/hook-weight: {{ $jobs.hook.weight | quote }}
    helm.sh/hook-delete-policy: {{ join "," $jobs.hook.deletePolicy }}
    {{- end }}
    {{- with $jobs.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  {{- if gt $shards 1 }}
  # All at once: each waits for all others between two waves.
  completionMode: Indexed
  completions: {{ $shards }}
  parallelism: {{ $shards }}
  {{- end }}
  backoffLimit: {{ $jobs.backoffLimit }}
  activeDeadlineSeconds: {{ $jobs.activeDeadlineSeconds }}
  {{- if not (kindIs "invalid" $jobs.ttlSecondsAfterFinished) }}
  ttlSecondsAfterFinished: {{ $jobs.ttlSecondsAfterFinished }}
  {{- end }}
  podFailurePolicy:
    rules:
      # Nothing gets better by itself: a person, another image or another configuration has to come.
      - action: FailJob
        onExitCodes:
          containerName: dataops
          operator: In
          values: {{ toJson $failing }}
      # The lock is taken, the database does not answer, stopped by a signal: again, as long as the deadline allows.
      - action: Ignore
        onExitCodes:
          containerName: dataops
          operator: In
          values: [3, 10, 75]
      # Evicted, preempted, the node is gone: not our fault, again.
      - action: Ignore
        onPodConditions:
          - type: DisruptionTarget
            status: "True"
  template:
    metadata:
      labels:
        {{- include "dataops.labels" $root | nindent 8 }}
        {{- include "dataops.jobLabels" . | nindent 8 }}
        {{- with $jobs.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $jobs.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: {{ $jobs.terminationGracePeriodSeconds }}
      {{- include "dataops.podSettings" $root | nindent 6 }}
      {{- if $background }}
      initContainers:
        {{- include "dataops.waitContainer" $waiting | nindent 8 }}
      {{- end }}
      {{- with $backups }}
      initContainers:
        {{- . | nindent 8 }}
      {{- end }}
      containers:
        - name: dataops
          image: {{ include "dataops.image" (dict "image" $root.Values.image "tag" $root.Chart.AppVersion) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args:
            - apply
            - --yes
            {{- range .services }}
            - --service={{ . }}
            {{- end }}
            - --wait={{ $jobs.waitForDatabase }}
            {{- with $jobs.lockTimeout }}
            - --lock-timeout={{ . }}
            {{- end }}
            {{- if $backups }}
            - --require-backup-marker=/var/run/dataops-backup/done
            - --backup-max-age={{ $root.Values.backup.maxAge }}
            {{- end }}
            - --log-format={{ $root.Values.logFormat }}
            {{- range $jobs.extraArgs }}
            - {{ . | quote }}
            {{- end }}
          env:
            - name: DATAOPS_ACTOR
              value: {{ $root.Values.actor | default (printf "helm:%s" $root.Release.Name) | quote }}
            {{- if gt $shards 1 }}
            # Kubernetes says which of them this is: JOB_COMPLETION_INDEX. All pods of one Job share one rollout.
            - name: DATAOPS_SHARDS
              value: {{ $shards | quote }}
            - name: DATAOPS_ROLLOUT
              valueFrom:
                fieldRef:
                  fieldPath: metadata.labels['batch.kubernetes.io/controller-uid']
            {{- end }}
            {{- with include "dataops.env" $arguments | trim }}
            {{- . | nindent 12 }}
            {{- end }}
            {{- with $root.Values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          # The last error and what its exit code means, in `kubectl describe pod`.
          terminationMessagePath: /dev/termination-log
          terminationMessagePolicy: FallbackToLogsOnError
          {{- with $root.Values.containerSecurityContext }}
          securityContext:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with $jobs.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- with include "dataops.secretsMount" $arguments | trim }}
            {{- . | nindent 12 }}
            {{- end }}
            {{- if $backups }}
            - name: backup-marker
              mountPath: /var/run/dataops-backup
              readOnly: true
            {{- end }}
            {{- with $root.Values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        # For the sockets on which a plan of MongoDB steps is recorded; nothing else is written.
        - name: tmp
          emptyDir:
            sizeLimit: 64Mi
        {{- with include "dataops.secretsVolume" $arguments | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- if $background }}
        {{- with include "dataops.waitVolumes" $waiting | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- end }}
        {{- if $backups }}
        - name: backup-marker
          emptyDir:
            sizeLimit: 1Mi
        {{- end }}
        {{- with $root.Values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end }}

{{/* How many pods share the databases of this Job. Called like dataops.job. */}}
{{- define "dataops.shards" -}}
{{- if or .context.Values.jobs.perService (eq (.component | default "") "background") -}}
{{- (index .context.Values.services (first .services)).shards | default 1 -}}
{{- else -}}
{{- .context.Values.jobs.shards -}}
{{- end -}}
{{- end }}

{{/* What the Jobs of a release have in common, and how to find the one of a service. */}}
{{- define "dataops.jobLabels" -}}
app.kubernetes.io/component: {{ .component | default "migrate" }}
dataops/revision: {{ include "dataops.suffix" .context | quote }}
{{- if .context.Values.jobs.perService }}
dataops/service: {{ first .services }}
{{- end }}
{{- end }}

{{/* The backups of some services, and then the one for all. Called like dataops.job. */}}
{{- define "dataops.backupContainers" -}}
{{- $root := .context -}}
{{- $common := $root.Values.backup -}}
{{- if $common.enabled -}}
{{- $all := list -}}
{{- range $name := .services -}}
{{- with (index $root.Values.services $name).backup -}}
{{- $one := mergeOverwrite (deepCopy $common) (deepCopy .) -}}
{{- $all = append $all (dict "name" (printf "backup-%s" $name) "backup" $one "services" (list $name)) -}}
{{- end -}}
{{- end -}}
{{- if $common.command -}}
{{- $all = append $all (dict "name" "backup" "backup" $common "services" .services) -}}
{{- end -}}
{{- if not $all -}}
{{- fail (printf "backup.enabled needs a backup.command, or one of the service's own, for %s" (join ", " .services)) -}}
{{- end -}}
{{- range $all }}
{{- $backup := .backup }}
{{- if not $backup.image.repository }}
{{- fail (printf "%s needs an image: set backup.image.repository" .name) }}
{{- end }}
{{- if not $backup.command }}
{{- fail (printf "%s needs a command" .name) }}
{{- end }}
{{- $arguments := dict "context" $root "services" .services "reading" false }}
- name: {{ .name }}
  image: {{ include "dataops.image" (dict "image" $backup.image "tag" "latest") }}
  imagePullPolicy: {{ $backup.image.pullPolicy }}
  {{- if $backup.shell }}
  command:
    - /bin/sh
    - -c
    - 'set -eu; "$@"; date -u +%Y-%m-%dT%H:%M:%SZ > "$DATAOPS_BACKUP_MARKER"'
    - {{ .name }}
    {{- toYaml $backup.command | nindent 4 }}
  {{- else }}
  command:
    {{- toYaml $backup.command | nindent 4 }}
  {{- end }}
  {{- with $backup.args }}
  args:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  env:
    - name: DATAOPS_BACKUP_MARKER
      value: /var/run/dataops-backup/done
    {{- if $backup.inheritEnv }}
    {{- with include "dataops.env" $arguments | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- with $backup.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $backup.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $backup.securityContext | default $root.Values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $backup.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: backup-marker
      mountPath: /var/run/dataops-backup
    - name: tmp
      mountPath: /tmp
    {{- if $backup.inheritEnv }}
    {{- with include "dataops.secretsMount" $arguments | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- with $backup.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end -}}
{{- end }}
