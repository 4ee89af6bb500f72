{{- /* What a schema can refuse only in words that nobody understands, or not at all. */}}
{{- define "imarchive.refuse" -}}
{{- $values := .Values }}
{{- with $values.image.repository }}
{{- if or (contains "@" .) (contains ":" (. | splitList "/" | last)) }}
{{- fail (printf "image.repository is %s, with a tag or digest: set these as image.tag or image.digest" .) }}
{{- end }}
{{- else }}
{{- fail "image.repository is empty: set it to where your cluster can pull the image from" }}
{{- end }}

{{- with trim $values.trust.extraRoots }}
{{- if not (contains "-----BEGIN CERTIFICATE-----" .) }}
{{- fail "trust.extraRoots has no certificate (PEM): set it from a file, by --set-file trust.extraRoots=FILE" }}
{{- end }}
{{- if contains "PRIVATE KEY" . }}
{{- fail "trust.extraRoots has a private key, which nobody here needs: leave only the certificates in the file" }}
{{- end }}
{{- end }}

{{- $namespace := $values.test.namespace | default .Release.Namespace }}
{{- if and $values.test.endpoint $values.watchNamespaces (not (has $namespace $values.watchNamespaces)) }}
{{- fail (printf "test.endpoint %s is in the namespace %s, which is not one of watchNamespaces: nobody would test it"
  $values.test.endpoint $namespace) }}
{{- end }}

{{- with $values.notify }}
{{- if and .host (not .from) }}
{{- fail "notify.host is set without notify.from: set it to the sender of the mails to administrators" }}
{{- end }}
{{- if and .host (contains ":" .host) }}
{{- fail (printf "notify.host is %s, with a port: set it as notify.port" .host) }}
{{- end }}
{{- if and (not .host) (or .from .secretName .port) }}
{{- fail "notify.from, notify.port or notify.secretName is set without notify.host: nobody would be mailed" }}
{{- end }}
{{- if and (eq .tls "Implicit") (has (toString .port) (list "25" "587")) }}
{{- fail (printf "notify.port is %s with notify.tls Implicit: there servers speak StartTLS" (toString .port)) }}
{{- end }}
{{- end }}
{{- end }}
