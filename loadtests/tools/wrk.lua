-- Signed events for wrk, each a new one:
--
--   wrk -t1 -c32 -d30s --latency -s wrk.lua http://127.0.0.1:8001/webhook/demo -- ringline-data/secrets/demo.whsec
--
-- wrk sends as fast as answers come, so its latencies say what saturation is like and not what a sender at a
-- given rate sees. SHA-256 (FIPS 180-4) and HMAC (RFC 2104) are written here, as wrk's LuaJIT has neither.

local bit = require("bit")
local band, bor, bxor, bnot = bit.band, bit.bor, bit.bxor, bit.bnot
local rshift, lshift, ror, tobit = bit.rshift, bit.lshift, bit.ror, bit.tobit
local char, byte = string.char, string.byte

local K, H0 = {}, {}
do -- the fraction bits of the roots of the first primes
  local function fraction(x) return tobit(math.floor((x % 1) * 4294967296)) end
  local found, n = 0, 2
  while found < 64 do
    local prime = true
    for d = 2, math.floor(math.sqrt(n)) do if n % d == 0 then prime = false break end end
    if prime then
      found = found + 1
      -- a double's cube root is off in its last bit: two steps of Newton's method
      local r = n ^ (1 / 3)
      r = r - (r * r * r - n) / (3 * r * r)
      r = r - (r * r * r - n) / (3 * r * r)
      K[found] = fraction(r)
      if found <= 8 then H0[found] = fraction(math.sqrt(n)) end
    end
    n = n + 1
  end
end

local w = {}
local function compress(h, text, from)
  for i = 0, 15 do
    local a, b, c, d = byte(text, from + 4 * i, from + 4 * i + 3)
    w[i + 1] = bor(lshift(a, 24), lshift(b, 16), lshift(c, 8), d)
  end
  for i = 17, 64 do
    local x, y = w[i - 15], w[i - 2]
    local s0 = bxor(ror(x, 7), ror(x, 18), rshift(x, 3))
    local s1 = bxor(ror(y, 17), ror(y, 19), rshift(y, 10))
    w[i] = tobit(w[i - 16] + s0 + w[i - 7] + s1)
  end
  local a, b, c, d, e, f, g, k = h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]
  for i = 1, 64 do
    local s1 = bxor(ror(e, 6), ror(e, 11), ror(e, 25))
    local t1 = tobit(k + s1 + bxor(band(e, f), band(bnot(e), g)) + K[i] + w[i])
    local s0 = bxor(ror(a, 2), ror(a, 13), ror(a, 22))
    local t2 = tobit(s0 + bxor(band(a, b), band(a, c), band(b, c)))
    k, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
  end
  return { tobit(h[1] + a), tobit(h[2] + b), tobit(h[3] + c), tobit(h[4] + d),
           tobit(h[5] + e), tobit(h[6] + f), tobit(h[7] + g), tobit(h[8] + k) }
end

local function word(x)
  return char(band(rshift(x, 24), 255), band(rshift(x, 16), 255), band(rshift(x, 8), 255), band(x, 255))
end

-- `done` bytes are in `h` already, a multiple of 64
local function finish(h, done, text)
  local bits = (done + #text) * 8
  local padded = text .. "\128" .. string.rep("\0", (55 - #text) % 64) .. "\0\0\0\0" .. word(tobit(bits))
  for from = 1, #padded, 64 do h = compress(h, padded, from) end
  local parts = {}
  for i = 1, 8 do parts[i] = word(h[i]) end
  return table.concat(parts)
end

local function keyed(key, mask)
  local block = {}
  for i = 1, 64 do block[i] = char(bxor(byte(key, i) or 0, mask)) end
  return compress(H0, table.concat(block), 1)
end

local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local function b64encode(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = byte(text, i, i + 2)
    local n = lshift(a, 16) + lshift(b or 0, 8) + (c or 0)
    for k = 0, 3 do
      local at = band(rshift(n, 18 - 6 * k), 63) + 1
      out[#out + 1] = ((k == 2 and not b) or (k == 3 and not c)) and "=" or letters:sub(at, at)
    end
  end
  return table.concat(out)
end

local function b64decode(text)
  local out, n, bits = {}, 0, 0
  for letter in text:gmatch("[%w+/]") do
    n, bits = n * 64 + letters:find(letter, 1, true) - 1, bits + 6
    if bits >= 8 then
      bits = bits - 8
      out[#out + 1] = char(math.floor(n / 2 ^ bits))
      n = n % 2 ^ bits
    end
  end
  return table.concat(out)
end

local threads = {}
function setup(thread)
  thread:set("number", #threads)
  threads[#threads + 1] = thread
end

local inner, outer, run
function init(args)
  local file = assert(io.open(args[1] or "ringline-data/secrets/demo.whsec"), "no secret file")
  local text = file:read("*a"):match("^%s*whsec_(%S+)")
  file:close()
  local key = b64decode(assert(text, "expected whsec_<base64>"))
  inner, outer = keyed(key, 0x36), keyed(key, 0x5c)
  math.randomseed(os.time() + 7919 * number)
  run = string.format("%08x%02x", math.random(0, 2147483647), number)
  count, statuses = 0, {}
end

local function signature(id, timestamp, body)
  return b64encode(finish(outer, 64, finish(inner, 64, id .. "." .. timestamp .. "." .. body)))
end

function request()
  count = count + 1
  local id, timestamp = "wrk-" .. run .. "-" .. count, tostring(os.time())
  local body = string.format(
    '{"type":"signal","symbol":"WRK.%s.%d","side":"%s","strategy":"wrk","quantity":"10","price":"101.25"}',
    run, count % 64, count % 128 < 64 and "buy" or "close")
  return wrk.format("POST", nil, {
    ["content-type"] = "application/json", ["webhook-id"] = id, ["webhook-timestamp"] = timestamp,
    ["webhook-signature"] = "v1," .. signature(id, timestamp, body),
  }, body)
end

function response(status)
  statuses[status] = (statuses[status] or 0) + 1
end

function done(summary, latency)
  local all = {}
  for _, thread in ipairs(threads) do
    for status, n in pairs(thread:get("statuses")) do all[status] = (all[status] or 0) + n end
  end
  local accepted = all[202] or 0
  print(string.format("accepted %d, %.0f/s, p95 %.2f ms, p99 %.2f ms", accepted,
    accepted / (summary.duration / 1e6), latency:percentile(95) / 1000, latency:percentile(99) / 1000))
  for status, n in pairs(all) do print(string.format("status %d: %d", status, n)) end
  local e = summary.errors
  print(string.format("errors: connect %d, read %d, write %d, timeout %d", e.connect, e.read, e.write, e.timeout))
end
