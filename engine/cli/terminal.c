/* SPDX-License-Identifier: Apache-2.0
 *
 * terminal.c: sizes and keys. Bytes are read past stdio, which would keep more of them than were asked for from whoever
 * reads standard input next.
 */
#include "cli/terminal.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { NARROWEST = 20 };

static struct termios usual; /* what the terminal was set to before it was raw */
static bool is_raw_now, is_registered;

int vt_terminal_columns(int fd, int fallback)
{
    struct winsize w;

    if (ioctl(fd, TIOCGWINSZ, &w) != 0 || w.ws_col < NARROWEST)
        return fallback;
    return w.ws_col;
}

static void set_usual(void)
{
    if (is_raw_now)
        (void)!tcsetattr(STDIN_FILENO, TCSADRAIN, &usual);
    is_raw_now = false;
}

void vt_terminal_raw(bool is_raw)
{
    struct termios raw;

    if (!is_raw) {
        set_usual();
        return;
    }
    if (is_raw_now || tcgetattr(STDIN_FILENO, &usual) != 0)
        return;
    raw = usual;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (!is_registered)
        is_registered = atexit(set_usual) == 0;
    is_raw_now = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

int vt_terminal_key(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    unsigned char byte;

    if (poll(&p, 1, 0) <= 0)
        return VT_KEY_NONE;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n == 1)
        return byte;
    return n < 0 && errno == EINTR ? VT_KEY_NONE : VT_KEY_END;
}
