{{- /* Exact decimals, which are texts: templates have no numbers for them. */ -}}

{{- /* Whether it is above zero: "true" or nothing. */ -}}
{{- define "ringline.positive" -}}
{{- if and (not (hasPrefix "-" .)) (regexMatch "[1-9]" .) -}}true{{- end -}}
{{- end -}}

{{- /* Whether it is below zero. */ -}}
{{- define "ringline.negative" -}}
{{- if and (hasPrefix "-" .) (regexMatch "[1-9]" .) -}}true{{- end -}}
{{- end -}}

{{- /* Whether it is above a whole number: (list "2.5" 2) */ -}}
{{- define "ringline.above" -}}
{{- $text := index . 0 -}}
{{- $most := int64 (index . 1) -}}
{{- if include "ringline.positive" $text -}}
{{- $parts := splitList "." $text -}}
{{- $whole := default "0" (regexReplaceAll "^0+" (first $parts) "") -}}
{{- if or (gt (len $whole) 17) (gt (int64 (trunc 17 $whole)) $most) -}}true
{{- else if and (eq (int64 $whole) $most) (regexMatch "[1-9]" (join "" (rest $parts))) -}}true
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* A positive decimal in units of 10^-scale: a whole number; `part` when it has a part of one more, `many` when it
has more digits than can be counted with: (list "2.5" 4) */ -}}
{{- define "ringline.scaled" -}}
{{- $scale := int (index . 1) -}}
{{- $parts := splitList "." (index . 0) -}}
{{- $fraction := join "" (rest $parts) -}}
{{- $inside := trunc $scale (print $fraction (repeat $scale "0")) -}}
{{- $beyond := gt (len $fraction) $scale | ternary (trimPrefix $inside $fraction) "" -}}
{{- $digits := default "0" (regexReplaceAll "^0+" (print (first $parts) $inside) "") -}}
{{- if regexMatch "[1-9]" $beyond -}}part
{{- else if gt (len $digits) 18 -}}many
{{- else -}}{{ $digits }}
{{- end -}}
{{- end -}}
