"""The Lua call of the scope store: the rules of `memory`, word for word, in one step of the server.

Lua counts in doubles, exact up to 2^53: times fit, notionals (63 bits) travel and add up as two limbs.

    KEYS  epoch, answers of the key, then for each claim: its window (zset: member by time), its scope (hash)
    ARGV  epoch, field of the answer, key_seq, time, enter | judge | leave, answers to keep, then for each
          claim: window, room, most notional (two limbs, the first -1: off), own (two), spacing, cooldown,
          member
"""

from __future__ import annotations

from pipeline import limits

LIMB = 10**9
"""A thousand low limbs add up below 2^53, and a thousand high ones too."""

assert limits.MAX_WINDOW_TRADES * LIMB < 2**53
assert limits.MAX_WINDOW_TRADES * (limits.MAX_NOTIONAL // LIMB + 1) < 2**53

SCRIPT = r"""
local LIMB = 1000000000
local CLAIM, FIRST = 9, 6
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'epoch' end
local known = redis.call('HGET', KEYS[2], ARGV[2])
if known then return known end
local key_seq, keep = tonumber(ARGV[3]), tonumber(ARGV[6])
local newest = tonumber(redis.call('HGET', KEYS[2], 'newest') or '0')
if key_seq + keep <= newest then return 'forgotten' end

local claims = (#KEYS - 2) / 2
local refused, now = '', {}
local function refuse(claim, rule, retry, high, low)
  refused = refused .. string.format(';%d,%d,%.0f,%.0f,%.0f', claim - 1, rule, retry, high or 0, low or 0)
end
local function limbs(member)
  local high, low = string.match(member, '\31(%d+)\31(%d+)$')
  return tonumber(high), tonumber(low)
end
local function more(high, low, most_high, most_low)
  high, low = high + math.floor(low / LIMB), low % LIMB
  return high > most_high or (high == most_high and low > most_low)
end

for claim = 1, claims do
  local window_key, scope_key = KEYS[1 + 2 * claim], KEYS[2 + 2 * claim]
  local at = FIRST + CLAIM * (claim - 1)
  local latest = tonumber(redis.call('HGET', scope_key, 'latest') or '0')
  local time = math.max(latest, tonumber(ARGV[4]))
  now[claim] = time
  redis.call('HSET', scope_key, 'latest', string.format('%.0f', time))
  if ARGV[5] ~= 'leave' then
    local window, room = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local most_high, most_low = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    local high, low = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
    redis.call('ZREMRANGEBYSCORE', window_key, '-inf', string.format('%.0f', time - window))
    local found = redis.call('ZRANGE', window_key, 0, -1, 'WITHSCORES')
    local used = #found / 2
    if room >= 0 and used >= room then
      refuse(claim, 1, room > 0 and tonumber(found[2 * (used - room + 1)]) + window or 0)
    end
    if most_high >= 0 then
      local spent_high, spent_low = 0, 0
      for entry = 1, used do
        local entry_high, entry_low = limbs(found[2 * entry - 1])
        spent_high, spent_low = spent_high + entry_high, spent_low + entry_low
      end
      high, low = high + spent_high, low + spent_low
      if more(high, low, most_high, most_low) then
        local retry = 0
        for entry = 1, used do
          local entry_high, entry_low = limbs(found[2 * entry - 1])
          high, low = high - entry_high, low - entry_low
          if not more(high, low, most_high, most_low) then
            retry = tonumber(found[2 * entry]) + window
            break
          end
        end
        refuse(claim, 2, retry, spent_high, spent_low)
      end
    end
    for rule = 3, 4 do
      local since = redis.call('HGET', scope_key, rule == 3 and 'entry' or 'exit')
      local pause = tonumber(ARGV[at + 4 + rule])
      if since and time - tonumber(since) < pause then refuse(claim, rule, tonumber(since) + pause) end
    end
  end
end

local answer = '1'
if refused ~= '' then answer = '0' .. refused end
redis.call('HSET', KEYS[2], ARGV[2], answer, 'newest', string.format('%.0f', math.max(newest, key_seq)))
if answer == '1' and ARGV[5] ~= 'judge' then
  for claim = 1, claims do
    local window_key, scope_key = KEYS[1 + 2 * claim], KEYS[2 + 2 * claim]
    local at = FIRST + CLAIM * (claim - 1)
    local time = string.format('%.0f', now[claim])
    if ARGV[5] == 'leave' then
      redis.call('HSET', scope_key, 'exit', time)
    else
      redis.call('HSET', scope_key, 'entry', time)
      if tonumber(ARGV[at + 2]) >= 0 then redis.call('ZADD', window_key, time, ARGV[at + 9]) end
    end
  end
end
if redis.call('HLEN', KEYS[2]) > 2 * keep then
  for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
    local at = tonumber(string.match(field, '^(%d+):'))
    if at and at + keep <= newest then redis.call('HDEL', KEYS[2], field) end
  end
end
return answer
"""
