{{/* Names leave room for "-dashboard", or a part and a hash: a Job's name has 63 letters at most. */}}
{{- define "search.fullname" -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- end -}}

{{- define "search.selector" -}}
app.kubernetes.io/name: segmentation-search
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "search.labels" -}}
{{ include "search.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "search.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "search.artifacts" -}}
{{- .Values.artifacts.url | default "/artifacts" -}}
{{- end -}}

{{/* What the schema cannot say: values that need each other. */}}
{{- define "search.check" -}}
{{- $values := .Values -}}
{{- if and (hasPrefix "/" $values.study.data) (not $values.data.existingClaim) -}}
{{- fail (printf "study.data %q is a path: name the claim that is mounted at /data in data.existingClaim" $values.study.data) -}}
{{- end -}}
{{- if not (or $values.artifacts.url $values.artifacts.existingClaim) -}}
{{- fail "artifacts.url (s3://bucket/prefix) or artifacts.existingClaim must be given: pods share no disk" -}}
{{- end -}}
{{- if and $values.artifacts.url $values.artifacts.existingClaim -}}
{{- fail "artifacts.url and artifacts.existingClaim are two places: leave one empty" -}}
{{- end -}}
{{- if and (eq $values.worker.device "cuda") (lt (int $values.worker.gpus) 1) -}}
{{- fail "worker.device is cuda, but worker.gpus is 0: take worker.device=cpu for workers without a GPU" -}}
{{- end -}}
{{- end -}}

{{/* The environment of every container. */}}
{{- define "search.env" -}}
- name: SEARCH_STORAGE
  valueFrom:
    secretKeyRef: {name: {{ .Values.database.existingSecret | quote }}, key: {{ .Values.database.key | quote }}}
- {name: SEARCH_ARTIFACTS, value: {{ include "search.artifacts" . | quote }}}
- {name: SEARCH_STUDY, value: {{ .Values.study.name | quote }}}
- {name: SEARCH_CACHE, value: /cache}
- {name: SEARCH_HOME, value: /tmp/search}
- {name: HOME, value: /tmp}
# a uid that no file of the image names has no name of its own
- {name: USER, value: search}
{{- with .Values.s3.region }}
- {name: AWS_DEFAULT_REGION, value: {{ . | quote }}}
{{- end }}
{{- with .Values.s3.endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- end -}}

{{/* What every pod is: (dict "root" . "values" .Values.worker, or of another part). */}}
{{- define "search.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.serviceAccountName }}
serviceAccountName: {{ . | quote }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
volumes:
  - {name: tmp, emptyDir: {sizeLimit: 4Gi}}
  - {name: cache, emptyDir: {sizeLimit: {{ .cache | default "20Gi" | quote }}}}
  {{- with .sharedMemory }}
  - {name: shm, emptyDir: {medium: Memory, sizeLimit: {{ . | quote }}}}
  {{- end }}
  {{- with .root.Values.artifacts.existingClaim }}
  - {name: artifacts, persistentVolumeClaim: {claimName: {{ . | quote }}}}
  {{- end }}
  {{- with .root.Values.data.existingClaim }}
  - {name: data, persistentVolumeClaim: {claimName: {{ . | quote }}, readOnly: true}}
  {{- end }}
  {{- if .space }}
  - {name: space, configMap: {name: {{ .space | quote }}}}
  {{- end }}
  {{- with .root.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What every container is, but for its name, arguments and resources: the same dict. */}}
{{- define "search.container" -}}
image: {{ include "search.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
workingDir: /tmp
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with .root.Values.s3.existingSecret }}
envFrom:
  - secretRef: {name: {{ . | quote }}}
{{- end }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: cache, mountPath: /cache}
  {{- if .sharedMemory }}
  - {name: shm, mountPath: /dev/shm}
  {{- end }}
  {{- if .root.Values.artifacts.existingClaim }}
  - {name: artifacts, mountPath: /artifacts}
  {{- end }}
  {{- if .root.Values.data.existingClaim }}
  - {name: data, mountPath: /data, readOnly: true}
  {{- end }}
  {{- if .space }}
  - {name: space, mountPath: /space, readOnly: true}
  {{- end }}
  {{- with .root.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* A name that changes with what a Job cannot change: (dict "root" . "part" "worker" "of" TEXT). */}}
{{- define "search.hashed" -}}
{{- printf "%s-%s-%s" (include "search.fullname" .root) .part (sha256sum .of | trunc 8) -}}
{{- end -}}
