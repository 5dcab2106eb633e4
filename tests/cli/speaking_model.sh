# SPDX-License-Identifier: Apache-2.0
#
# speaking_model.sh, read by a case: speaking DIR FILE… makes a language model in DIR that answers every prompt with the
# text of one of the files, all equally likely.
speaking() {
    SPEAKER_DIR=$1
    shift
    SPEAKER_ANSWERS="$*"
    export SPEAKER_DIR SPEAKER_ANSWERS
    "$VEGTTT" test "$VEGTTT_ROOT/tests/cli/speaker.lua" >speaker.log 2>&1 || { cat speaker.log; exit 1; }
}
