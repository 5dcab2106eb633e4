/* SPDX-License-Identifier: Apache-2.0
 *
 * distributions.h: the distribution functions that tests and intervals need. Each quantile inverts the distribution
 * function of this file by halving, so the two cannot disagree; none is called in a loop over samples.
 */
#ifndef VT_STATS_DISTRIBUTIONS_H
#define VT_STATS_DISTRIBUTIONS_H

double vt_normal_cdf(double z);
double vt_normal_quantile(double p);

/* P(X <= x) of the beta distribution, which is the regularised incomplete beta function; a, b > 0. */
double vt_beta_cdf(double x, double a, double b);
double vt_beta_quantile(double p, double a, double b);

double vt_student_two_sided(double t, double df); /* P(|T| >= |t|); 0 for an infinite t; df > 0 */
double vt_student_quantile(double p, double df);

#endif
