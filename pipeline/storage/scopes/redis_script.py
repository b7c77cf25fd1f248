"""The Lua call of the scope store: the rules of `memory`, word for word, in one step of the server.

The answer is followed by what each scope holds then, and what would refuse the smallest entry; it is kept
apart, where a worker that knows nothing of it does not stumble over it.

A scope's entries are kept by their times, those of one time in the order they came, whatever the claim: as
many and as old as any claim may count. One that an older version noted has its key in place of its number.

Lua counts in doubles, exact up to 2^53: times fit, notionals (63 bits) travel and add up as two limbs.

    KEYS  epoch, answers of the key, then for each claim: its entries (zset: number and
          notional by time), its scope (hash)
    ARGV  epoch, field of the answer, key_seq, time, enter | judge | leave, answers, entries and time to keep,
          then for each claim: window, room, most notional (two limbs, the first -1: off), own (two), spacing,
          cooldown
"""

from __future__ import annotations

from pipeline import limits

LIMB = 10**9
"""A thousand low limbs add up below 2^53, and a thousand high ones too."""

assert limits.MAX_WINDOW_TRADES * LIMB < 2**53
assert limits.MAX_WINDOW_TRADES * (limits.MAX_NOTIONAL // LIMB + 1) < 2**53

SCRIPT = r"""
local LIMB = 1000000000
local CLAIM, FIRST = 8, 8
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'epoch' end
local known = redis.call('HGET', KEYS[2], ARGV[2])
if known then return known .. (redis.call('HGET', KEYS[2], ARGV[2] .. ':seen') or '') end
local key_seq, keep = tonumber(ARGV[3]), tonumber(ARGV[6])
local most_entries, most_time = tonumber(ARGV[7]), tonumber(ARGV[8])
local newest = tonumber(redis.call('HGET', KEYS[2], 'newest') or '0')
if key_seq + keep <= newest then return 'forgotten' end

local claims = (#KEYS - 2) / 2
local function limbs(member)
  local high, low = string.match(member, '\31(%d+)\31(%d+)$')
  return tonumber(high), tonumber(low)
end
local function more(high, low, most_high, most_low)
  high, low = high + math.floor(low / LIMB), low % LIMB
  return high > most_high or (high == most_high and low > most_low)
end

-- Every rule of a claim that refuses an entry of own_high, own_low, with what the window holds in `found`.
local function objections(claim, at, time, found, spent_high, spent_low, own_high, own_low, entry, exit)
  local out, used = '', #found / 2
  local function refuse(rule, retry, high, low)
    out = out .. string.format(';%d,%d,%.0f,%.0f,%.0f', claim - 1, rule, retry, high or 0, low or 0)
  end
  local window, room = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local most_high, most_low = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  if room >= 0 and used >= room then
    refuse(1, room > 0 and tonumber(found[2 * (used - room + 1)]) + window or 0)
  end
  local high, low = own_high + spent_high, own_low + spent_low
  if most_high >= 0 and more(high, low, most_high, most_low) then
    local retry = 0
    for place = 1, used do
      local entry_high, entry_low = limbs(found[2 * place - 1])
      high, low = high - entry_high, low - entry_low
      if not more(high, low, most_high, most_low) then
        retry = tonumber(found[2 * place]) + window
        break
      end
    end
    refuse(2, retry, spent_high, spent_low)
  end
  for rule = 3, 4 do
    local since = entry
    if rule == 4 then since = exit end
    local pause = tonumber(ARGV[at + 4 + rule])
    if since and time - tonumber(since) < pause then refuse(rule, tonumber(since) + pause) end
  end
  return out
end

local refused, states = '', {}
for claim = 1, claims do
  local window_key, scope_key = KEYS[1 + 2 * claim], KEYS[2 + 2 * claim]
  local at = FIRST + CLAIM * (claim - 1)
  local latest = tonumber(redis.call('HGET', scope_key, 'latest') or '0')
  local time = math.max(latest, tonumber(ARGV[4]))
  local state = {at = at, time = time, high = 0, low = 0, found = {}}
  states[claim] = state
  if ARGV[5] ~= 'leave' then
    redis.call('HSET', scope_key, 'latest', string.format('%.0f', time))
    if tonumber(ARGV[at + 2]) >= 0 then
      local after = string.format('(%.0f', time - tonumber(ARGV[at + 1]))
      state.found = redis.call('ZRANGEBYSCORE', window_key, after, '+inf', 'WITHSCORES')
    end
    state.entry, state.exit = redis.call('HGET', scope_key, 'entry'), redis.call('HGET', scope_key, 'exit')
    if tonumber(ARGV[at + 3]) >= 0 then
      for place = 1, #state.found, 2 do
        local entry_high, entry_low = limbs(state.found[place])
        state.high, state.low = state.high + entry_high, state.low + entry_low
      end
    end
    refused = refused .. objections(claim, at, time, state.found, state.high, state.low,
      tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]), state.entry, state.exit)
  end
end

local answer = '1'
if refused ~= '' then answer = '0' .. refused end
redis.call('HSET', KEYS[2], ARGV[2], answer, 'newest', string.format('%.0f', math.max(newest, key_seq)))
if answer == '1' and ARGV[5] ~= 'judge' then
  for claim = 1, claims do
    local window_key, scope_key = KEYS[1 + 2 * claim], KEYS[2 + 2 * claim]
    local state = states[claim]
    local at, time = state.at, string.format('%.0f', state.time)
    if ARGV[5] == 'leave' then
      local before = tonumber(redis.call('HGET', scope_key, 'exit') or '-1')
      redis.call('HSET', scope_key, 'exit', string.format('%.0f', math.max(before, state.time)))
    else
      redis.call('HSET', scope_key, 'entry', time)
      state.entry = time
      local number = redis.call('HINCRBY', scope_key, 'entries', 1)
      local member = string.format('%016.0f', number) .. '\31' .. ARGV[at + 5] .. '\31' .. ARGV[at + 6]
      redis.call('ZADD', window_key, time, member)
      redis.call('ZREMRANGEBYRANK', window_key, 0, -1 - most_entries)
      redis.call('ZREMRANGEBYSCORE', window_key, '-inf', string.format('%.0f', state.time - most_time))
      if tonumber(ARGV[at + 2]) >= 0 and tonumber(ARGV[at + 1]) > 0 then
        table.insert(state.found, member)
        table.insert(state.found, time)
        if tonumber(ARGV[at + 3]) >= 0 then
          state.high, state.low = state.high + tonumber(ARGV[at + 5]), state.low + tonumber(ARGV[at + 6])
        end
      end
    end
  end
end
local seen = ''
if ARGV[5] ~= 'leave' then
  for claim = 1, claims do
    local state = states[claim]
    seen = seen .. string.format('/%d,%.0f,%.0f', #state.found / 2, state.high, state.low)
      .. objections(claim, state.at, state.time, state.found, state.high, state.low, 0, 1,
        state.entry, state.exit)
  end
  redis.call('HSET', KEYS[2], ARGV[2] .. ':seen', seen)
end
if redis.call('HLEN', KEYS[2]) > 4 * keep then
  for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
    local at = tonumber(string.match(field, '^(%d+):'))
    if at and at + keep <= newest then redis.call('HDEL', KEYS[2], field) end
  end
end
return answer .. seen
"""
