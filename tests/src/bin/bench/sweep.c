/* The bare loop that a sweep is measured against: it opens every file that its input names, one a line, up to an empty
 * line; then for each further line it reads them all by pread(2) and prints how many nanoseconds that took. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	static char line[4096], buffer[4096];
	struct rlimit limit;
	size_t room = 1024, count = 0;
	int *files = malloc(room * sizeof *files);

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	while (files && fgets(line, sizeof line, stdin) && line[0] != '\n') {
		line[strcspn(line, "\n")] = 0;
		if (count == room)
			files = realloc(files, (room *= 2) * sizeof *files);
		if (!files || (files[count++] = open(line, O_RDONLY | O_CLOEXEC)) < 0) {
			perror(line);
			return 1;
		}
	}
	while (fgets(line, sizeof line, stdin)) {
		struct timespec from, to;
		clock_gettime(CLOCK_MONOTONIC, &from);
		for (size_t i = 0; i < count; i++)
			if (pread(files[i], buffer, sizeof buffer, 0) < 0)
				return 1;
		clock_gettime(CLOCK_MONOTONIC, &to);
		printf("%lld\n", (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec);
		fflush(stdout);
	}
	return 0;
}
