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

{{- if $values.notify.host }}
{{- fail "notify.host is set, but this version of imarchive mails nobody yet" }}
{{- end }}
{{- end }}
