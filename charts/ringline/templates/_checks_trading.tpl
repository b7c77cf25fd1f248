{{- /* Parts of "ringline.configChecks": what is traded, by what and within which limits. */ -}}

{{- define "ringline.checkTrading" -}}
{{- $found := .found -}}
{{- $most := int64 .facts.limits.MAX_SCALED -}}
{{- $trading := .config.trading -}}
{{- if not (hasKey $trading.instruments "default") -}}
{{- include "ringline.fault" (list $found "trading.instruments.default: missing; it serves every symbol not named") -}}
{{- end -}}
{{- $item := .facts.items.Instrument -}}
{{- range $name, $given := $trading.instruments -}}
{{- $instrument := include "ringline.overlay" (dict "default" $item "given" $given) | fromJson -}}
{{- range $field, $scaled := dict "tick" "price_scale" "lot" "quantity_scale" -}}
{{- $text := get $instrument $field -}}
{{- $scale := int (get $instrument $scaled) -}}
{{- $step := include "ringline.scaled" (list $text $scale) -}}
{{- if or (not (include "ringline.positive" $text)) (has $step (list "part" "many")) (gt (int64 (has $step (list "part" "many") | ternary "0" $step)) $most) -}}
{{- include "ringline.fault" (list $found (printf "trading.instruments.%s.%s = '%s': must be a positive multiple of 10^-%d, the scale of this instrument" $name $field $text $scale)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "ringline.checkQuantity" (dict "all" . "path" "trading.signal_quantity" "text" $trading.signal_quantity "symbols" list) -}}
{{- if not (include "ringline.positive" $trading.max_signal_quantity) -}}
{{- include "ringline.fault" (list $found (printf "trading.max_signal_quantity = '%s': must be positive" $trading.max_signal_quantity)) -}}
{{- end -}}
{{- range $field, $text := $trading.risk -}}
{{- if include "ringline.negative" $text -}}
{{- include "ringline.fault" (list $found (printf "trading.risk.%s = '%s': must not be negative" $field $text)) -}}
{{- end -}}
{{- end -}}
{{- $exec := .config.exec -}}
{{- $bps := int64 .facts.limits.MAX_BPS -}}
{{- range $field := list "commission_bps" "slippage_bps" -}}
{{- $text := get $exec $field -}}
{{- if or (include "ringline.negative" $text) (include "ringline.above" (list $text $bps)) -}}
{{- include "ringline.fault" (list $found (printf "exec.%s = '%s': allowed: 0 to %d" $field $text $bps)) -}}
{{- end -}}
{{- end -}}
{{- $share := $exec.volume_limit_percent -}}
{{- if or (include "ringline.negative" $share) (include "ringline.above" (list $share 100)) -}}
{{- include "ringline.fault" (list $found (printf "exec.volume_limit_percent = '%s': allowed: 0 to 100" $share)) -}}
{{- else if and (include "ringline.positive" $share) (eq $exec.fill_policy "signal_price") -}}
{{- include "ringline.fault" (list $found (printf "exec.volume_limit_percent = '%s': orders never rest under fill_policy signal_price; use next_open or worst_of_bar" $share)) -}}
{{- end -}}
{{- end -}}

{{- /* An order size must be countable in every instrument that may be traded with it:
(dict "all" $ "path" "trading.signal_quantity" "text" "100" "symbols" list) */ -}}
{{- define "ringline.checkQuantity" -}}
{{- $found := .all.found -}}
{{- $limits := .all.facts.limits -}}
{{- $instruments := .all.config.trading.instruments -}}
{{- $item := .all.facts.items.Instrument -}}
{{- $path := .path -}}
{{- $text := .text -}}
{{- if not (include "ringline.positive" $text) -}}
{{- include "ringline.fault" (list $found (printf "%s = '%s': must be positive" $path $text)) -}}
{{- else -}}
{{- $traded := list -}}
{{- range $symbol := .symbols -}}{{- $traded = append $traded (hasKey $instruments $symbol | ternary $symbol "default") -}}{{- end -}}
{{- range $name := default (keys $instruments) $traded | uniq | sortAlpha -}}
{{- if hasKey $instruments $name -}}
{{- $instrument := include "ringline.overlay" (dict "default" $item "given" (get $instruments $name)) | fromJson -}}
{{- $scale := int $instrument.quantity_scale -}}
{{- $lot := include "ringline.scaled" (list $instrument.lot $scale) -}}
{{- $count := include "ringline.scaled" (list $text $scale) -}}
{{- $zeros := repeat (int (sub (int $limits.SCALED_DIGITS) $scale)) "0" -}}
{{- if or (not (include "ringline.positive" $instrument.lot)) (eq $lot "part") -}}
{{- /* Said above. */ -}}
{{- else if or (eq $count "many") (include "ringline.above" (list $text (int64 (print "1" $zeros)))) -}}
{{- include "ringline.fault" (list $found (printf "%s = '%s': at most 1%s, the limit of instrument %s" $path $text $zeros $name)) -}}
{{- else if or (eq $count "part") (eq $lot "many") (ne (mod (int64 (eq $count "part" | ternary "0" $count)) (int64 (eq $lot "many" | ternary "1" $lot))) 0) -}}
{{- include "ringline.fault" (list $found (printf "%s = '%s': must be a multiple of the lot %s of instrument %s" $path $text $instrument.lot $name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringline.checkStrategies" -}}
{{- $found := .found -}}
{{- $all := . -}}
{{- $item := .facts.items.Strategy -}}
{{- $bps := int64 .facts.limits.MAX_BPS -}}
{{- $strategies := .config.trading.strategies -}}
{{- $most := int64 .facts.limits.MAX_STRATEGIES_A_KEY -}}
{{- if gt (int64 (len $strategies)) $most -}}
{{- include "ringline.fault" (list $found (printf "trading.strategies: %d; the limit is %d" (len $strategies) $most)) -}}
{{- end -}}
{{- range $name, $given := $strategies -}}
{{- $path := print "trading.strategies." $name -}}
{{- $one := include "ringline.overlay" (dict "default" $item "given" $given) | fromJson -}}
{{- if eq $one.kind "ensemble" -}}
{{- if not $one.members -}}
{{- include "ringline.fault" (list $found (printf "%s.members: an ensemble needs at least one" $path)) -}}
{{- end -}}
{{- range $member, $weight := $one.members -}}
{{- if not (hasKey $strategies $member) -}}
{{- include "ringline.fault" (list $found (printf "%s.members.%s: no such strategy; there are %s" $path $member (keys $strategies | sortAlpha | join ", "))) -}}
{{- else if eq (get $strategies $member).kind "ensemble" -}}
{{- include "ringline.fault" (list $found (printf "%s.members.%s: is an ensemble itself; an ensemble is made of strategies" $path $member)) -}}
{{- end -}}
{{- if not (include "ringline.positive" $weight) -}}
{{- include "ringline.fault" (list $found (printf "%s.members.%s = '%s': a weight must be positive" $path $member $weight)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq $one.kind "custom") (not $one.source) -}}
{{- include "ringline.fault" (list $found (printf "%s.source: missing; FILE.py:CLASS or the name of an entry point" $path)) -}}
{{- end -}}
{{- $deviations := int64 $all.facts.limits.MAX_DEVIATIONS -}}
{{- if and (eq $one.kind "mean_reversion") (or (not (include "ringline.positive" $one.deviations)) (include "ringline.above" (list $one.deviations $deviations))) -}}
{{- include "ringline.fault" (list $found (printf "%s.deviations = '%s': above 0, at most %d" $path $one.deviations $deviations)) -}}
{{- end -}}
{{- if eq $one.kind "volatility_target" -}}
{{- if or (not (include "ringline.positive" $one.target_bps)) (include "ringline.above" (list $one.target_bps $bps)) -}}
{{- include "ringline.fault" (list $found (printf "%s.target_bps = '%s': above 0, at most %d" $path $one.target_bps $bps)) -}}
{{- end -}}
{{- if or (include "ringline.negative" $one.rebalance_percent) (include "ringline.above" (list $one.rebalance_percent 100)) -}}
{{- include "ringline.fault" (list $found (printf "%s.rebalance_percent = '%s': allowed: 0 to 100" $path $one.rebalance_percent)) -}}
{{- end -}}
{{- end -}}
{{- if and (has $one.kind (list "mean_reversion" "volatility_target")) (lt (int64 $one.lookback) 2) -}}
{{- include "ringline.fault" (list $found (printf "%s.lookback = %d: at least 2 for %s" $path (int64 $one.lookback) $one.kind)) -}}
{{- end -}}
{{- if and (eq $one.kind "sma_cross") (ge (int64 $one.fast) (int64 $one.slow)) -}}
{{- include "ringline.fault" (list $found (printf "%s.fast = %d: must be below slow (%d)" $path (int64 $one.fast) (int64 $one.slow))) -}}
{{- end -}}
{{- include "ringline.checkQuantity" (dict "all" $all "path" (print $path ".quantity") "text" $one.quantity "symbols" $one.symbols) -}}
{{- end -}}
{{- end -}}

{{- /* The multiplier and the notional of a throttle or an override: (dict "found" $ "path" "…" "of" dict) */ -}}
{{- define "ringline.checkAmounts" -}}
{{- with .of.multiplier -}}
{{- if or (include "ringline.negative" .) (include "ringline.above" (list . 1)) -}}
{{- include "ringline.fault" (list $.found (printf "%s.multiplier = '%s': allowed: 0 to 1" $.path .)) -}}
{{- end -}}
{{- end -}}
{{- with .of.max_notional -}}
{{- if include "ringline.negative" . -}}
{{- include "ringline.fault" (list $.found (printf "%s.max_notional = '%s': must not be negative" $.path .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringline.checkThrottles" -}}
{{- $found := .found -}}
{{- $item := .facts.items.Throttle -}}
{{- $names := list -}}
{{- $wide := 0 -}}
{{- range $index, $given := .config.trading.throttles -}}
{{- $one := include "ringline.overlay" (dict "default" $item "given" $given) | fromJson -}}
{{- $path := printf "trading.throttles[%d]" $index -}}
{{- if has $one.name $names -}}
{{- include "ringline.fault" (list $found (printf "%s.name = '%s': taken by another; a throttle's memory goes by its name" $path $one.name)) -}}
{{- end -}}
{{- $names = append $names $one.name -}}
{{- if and (has $one.per (list "strategy" "global")) (not $one.scope.symbol) -}}{{- $wide = add1 $wide -}}{{- end -}}
{{- include "ringline.checkAmounts" (dict "found" $found "path" $path "of" $one) -}}
{{- range $place, $other := $one.overrides -}}
{{- $where := printf "%s.overrides[%d]" $path $place -}}
{{- include "ringline.checkAmounts" (dict "found" $found "path" $where "of" $other) -}}
{{- if and (has $one.per (list "symbol" "global")) $other.scope.strategy_id -}}
{{- include "ringline.fault" (list $found (printf "%s.scope.strategy_id: a count per %s knows no strategies" $where $one.per)) -}}
{{- end -}}
{{- if and (has $one.per (list "strategy" "global")) $other.scope.symbol -}}
{{- include "ringline.fault" (list $found (printf "%s.scope.symbol: a count per %s knows no symbols" $where $one.per)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $most := int64 .facts.limits.MAX_CLAIMS -}}
{{- if gt (int64 $wide) $most -}}
{{- include "ringline.fault" (list $found (printf "trading.throttles: %d count over all symbols; the limit is %d, the scopes that one entry may claim" $wide $most)) -}}
{{- end -}}
{{- end -}}
