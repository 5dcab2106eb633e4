-- SPDX-License-Identifier: Apache-2.0
--
-- The longer texts of `vegttt help TOPIC`: { topic, what it is about, text }.
return {
}
