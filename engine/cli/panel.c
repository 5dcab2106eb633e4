/* SPDX-License-Identifier: Apache-2.0
 *
 * panel.c: how a run's progress looks. The Lua half decides when (lua/vegttt/progress.lua); this file only draws.
 *
 * On a terminal the panel stands below the run's output and is wiped before anything else is printed, so that the
 * scroll-back holds no leftovers. In a pipe each call is one line.
 */
#include "cli/panel.h"
#include "cli/terminal.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR_WIDTH = 28, LINE_MAX_BYTES = 512, DEFAULT_COLUMNS = 100 };

static void format_duration(double s, char *out, size_t n)
{
    if (!(s >= 0) || s > 1e6)
        snprintf(out, n, "?");
    else if (s < 60)
        snprintf(out, n, "%.0fs", s);
    else if (s < 3600)
        snprintf(out, n, "%dm%02ds", (int)s / 60, (int)s % 60);
    else
        snprintf(out, n, "%dh%02dm", (int)s / 3600, (int)s / 60 % 60);
}

/* One panel line, cut to the terminal's width (bytes; counts and names are ASCII). */
static void put_line(struct vt_panel *p, const char *text)
{
    fprintf(stderr, "\x1b[2K%.*s\n", vt_terminal_columns(STDERR_FILENO, DEFAULT_COLUMNS) - 1, text);
    p->n_lines++;
}

static void draw_bar(char *out, size_t n, const char *name, double done, double planned)
{
    char bar[BAR_WIDTH + 1];
    double share = planned > 0 ? fmin(done / planned, 1.0) : 0;
    int full = (int)(share * BAR_WIDTH);
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    snprintf(out, n, "  %-12s [%s] %.0f of %.0f", name, bar, done, planned);
}

void vt_panel_clear(struct vt_panel *p)
{
    if (p->n_lines > 0)
        fprintf(stderr, "\r\x1b[%dA\x1b[J", p->n_lines); /* a typed ^C has moved the cursor */
    p->n_lines = 0;
}

static void put_bar(struct vt_panel *p, const char *name, double done, double planned)
{
    char line[LINE_MAX_BYTES];
    if (done <= 0 && planned <= 0)
        return;
    draw_bar(line, sizeof line, name, done, planned);
    put_line(p, line);
}

static void put_text(struct vt_panel *p, const char *name, const char *text)
{
    char line[LINE_MAX_BYTES];
    if (!text[0])
        return;
    snprintf(line, sizeof line, "  %-12s %s", name, text);
    put_line(p, line);
}

static void show_panel(struct vt_panel *p, const struct vt_progress *g, const char *elapsed, const char *eta)
{
    char line[LINE_MAX_BYTES];
    vt_panel_clear(p);
    snprintf(line, sizeof line, "%s   %s elapsed, %s to go", g->stage, elapsed, eta);
    put_line(p, line);
    put_bar(p, "samples", g->n_samples, g->n_samples_planned);
    put_bar(p, "evaluations", g->n_evals, g->n_evals_planned);
    put_bar(p, "updates", g->n_updates, g->n_updates_planned);
    put_text(p, "verdicts", g->counts);
    put_text(p, "best", g->best);
    fflush(stderr);
}

static void print_count(const char *name, double done, double planned)
{
    if (done > 0 || planned > 0)
        planned > 0 ? fprintf(stderr, ", %s %.0f/%.0f", name, done, planned) : fprintf(stderr, ", %s %.0f", name, done);
}

void vt_panel_show(struct vt_panel *p, const struct vt_progress *g)
{
    char elapsed[16], eta[16];
    format_duration(g->elapsed_s, elapsed, sizeof elapsed);
    format_duration(g->eta_s, eta, sizeof eta);
    if (p->is_tty) {
        show_panel(p, g, elapsed, eta);
        return;
    }
    fprintf(stderr, "[%s] %s", elapsed, g->stage);
    print_count("samples", g->n_samples, g->n_samples_planned);
    print_count("evaluations", g->n_evals, g->n_evals_planned);
    print_count("updates", g->n_updates, g->n_updates_planned);
    if (g->counts[0])
        fprintf(stderr, " (%s)", g->counts);
    if (g->best[0])
        fprintf(stderr, ", best %s", g->best);
    fprintf(stderr, ", %s to go\n", eta);
    fflush(stderr);
}

void vt_panel_text(struct vt_panel *p, const char *text)
{
    char line[LINE_MAX_BYTES];

    vt_panel_clear(p);
    while (*text) {
        size_t n = strcspn(text, "\n");

        snprintf(line, sizeof line, "%.*s", (int)n, text);
        put_line(p, line);
        text += n + (text[n] == '\n');
    }
    fflush(stderr);
}
